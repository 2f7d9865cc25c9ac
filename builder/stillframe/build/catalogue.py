"""What a job knows of its inputs: which there are, and their headers, by study and series.

A job may have millions of them, so they stand in a temporary file. They are asked for one series at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, override

from stillframe.build.plan import Named
from stillframe.dicom.uids import InstanceUIDs
from stillframe.scratch import Scratch, stored_text, text_of
from stillframe.source.inputs import Found, Header, InputRef, Skipped
from stillframe.source.packing import Packing

_SCHEMA: Final = """
    CREATE TABLE inputs (ordinal INTEGER PRIMARY KEY, name BLOB, packed TEXT);
    CREATE TABLE headers (ordinal INTEGER PRIMARY KEY, study TEXT, series TEXT, instance TEXT, id BLOB, patient BLOB);
    CREATE TABLE put_off (ordinal INTEGER PRIMARY KEY);
    CREATE TABLE directories (ordinal INTEGER PRIMARY KEY, name BLOB, packed TEXT);
"""
_INPUTS: Final = "SELECT ordinal, name, packed FROM inputs WHERE packed IS NOT NULL ORDER BY ordinal"
_HEADERS: Final = """
    SELECT name, packed, instance, id, patient FROM headers JOIN inputs USING (ordinal)
    WHERE study = ? AND series = ? ORDER BY headers.ordinal
"""
_NAMED: Final = """
    SELECT id, patient, count(*) FROM headers INDEXED BY by_series
    WHERE study = ? GROUP BY id, patient ORDER BY min(ordinal)
"""
_LEFT: Final = """
    SELECT name FROM (
        SELECT min(ordinal) AS ordinal FROM headers WHERE (study, series) > (?, ?) GROUP BY study, series, instance
    ) JOIN inputs USING (ordinal)
"""


class Catalogue:
    """The inputs of one job. What is found is added first, then the headers; then the studies may be asked for.

    Raises:
        MachineError: in every method, if the disk of temporary files takes no more.
    """

    def __init__(self) -> None:
        self._scratch = Scratch(_SCHEMA)
        self._packing = Packing()
        self._met = 0
        self.inputs = self.headers = 0

    def add(self, found: Found) -> None:
        """Add something that was found; inputs get their place in the order of the job, of others the name is kept."""
        name, packed = self._packing.pack(found)
        is_input = isinstance(found, InputRef)
        self._scratch.run("INSERT INTO inputs VALUES (?, ?, ?)", self._met, name, packed if is_input else None)
        self._met += 1
        self.inputs += is_input

    def iter_inputs(self) -> Iterator[tuple[int, InputRef]]:
        """All inputs with their places, in order."""
        return self._iter_inputs(_INPUTS)

    def _iter_inputs(self, query: str) -> Iterator[tuple[int, InputRef]]:
        for ordinal, name, packed in self._scratch.rows(query):
            source = self._packing.unpack(name, packed)
            assert isinstance(source, InputRef)
            yield ordinal, source

    def put_off(self, ordinal: int) -> None:
        """Leave the input at a place for later."""
        self._scratch.run("INSERT INTO put_off VALUES (?)", ordinal)

    def iter_put_off(self) -> Iterator[tuple[int, InputRef]]:
        """The inputs that were left for later, as `iter_inputs` has them."""
        return self._iter_inputs("SELECT ordinal, name, packed FROM put_off JOIN inputs USING (ordinal) ORDER BY 1")

    def add_header(self, ordinal: int, header: Header) -> None:
        """Add the header of the input at a place."""
        uids, patient = header.uids, (stored_text(header.patient_id), stored_text(header.patient_name))
        self._scratch.run(
            "INSERT INTO headers VALUES (?, ?, ?, ?, ?, ?)", ordinal, uids.study, uids.series, uids.instance, *patient
        )
        self.headers += 1

    def add_directory(self, ordinal: int, directory: Skipped) -> None:
        """Add a DICOMDIR that the input at a place is."""
        self._scratch.run("INSERT INTO directories VALUES (?, ?, ?)", ordinal, *self._packing.pack(directory))

    def iter_directories(self) -> Iterator[Skipped]:
        """Every DICOMDIR."""
        for name, packed in self._scratch.rows("SELECT name, packed FROM directories ORDER BY ordinal"):
            directory = self._packing.unpack(name, packed)
            assert isinstance(directory, Skipped)
            yield directory

    def names(self) -> Collection[str]:
        """The names of all that was found, in lower case."""
        return _Names(self._scratch)

    def order(self) -> None:
        """All headers are there: make them ready to be asked for by study."""
        self._scratch.run("CREATE INDEX by_series ON headers (study, series)")

    def iter_studies(self) -> Iterator[str]:
        """The studies in order of their UIDs."""
        study = ""
        while row := self._scratch.first("SELECT min(study) FROM headers WHERE study > ?", study):
            if row[0] is None:
                return
            study = row[0]
            yield study

    def named_in(self, study: str) -> dict[Named, int]:
        """How many inputs of a study name which patient, in the order in which they come first."""
        return {(text_of(one), text_of(name)): count for one, name, count in self._scratch.rows(_NAMED, study)}

    def instances_of(self, study: str) -> frozenset[InstanceUIDs]:
        """The instances of a study."""
        query = "SELECT DISTINCT series, instance FROM headers WHERE study = ?"
        return frozenset(InstanceUIDs(study, *row) for row in self._scratch.rows(query, study))

    def series_of(self, study: str) -> dict[str, list[Named]]:
        """The series of a study in order of their UIDs, each with the patients that its inputs name."""
        query = "SELECT DISTINCT series, id, patient FROM headers WHERE study = ? ORDER BY series"
        series: dict[str, list[Named]] = {}
        for uid, one, name in self._scratch.rows(query, study):
            series.setdefault(uid, []).append((text_of(one), text_of(name)))
        return series

    def headers_of(self, study: str, series: str) -> Iterator[Header]:
        """The headers of a series in the order of the inputs."""
        for name, packed, instance, one, patient in self._scratch.rows(_HEADERS, study, series):
            source = self._packing.unpack(name, packed)
            assert isinstance(source, InputRef)
            yield Header(source, InstanceUIDs(study, series, instance), text_of(one), text_of(patient))

    def first_inputs_behind(self, study: str, series: str) -> Iterator[str]:
        """The names of the first inputs of all instances in the series that come after one, in no order."""
        return (text_of(name) for (name,) in self._scratch.rows(_LEFT, study, series))

    def close(self) -> None:
        """Forget all of it."""
        self._scratch.close()


class _Names(Collection[str]):
    """The names of all that was found, in lower case: a table of the catalogue, made when it is first wanted."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        scratch.run("CREATE TABLE IF NOT EXISTS names (name BLOB PRIMARY KEY) WITHOUT ROWID")
        if not scratch.number("SELECT count(*) FROM (SELECT 1 FROM names LIMIT 1)"):
            rows = scratch.rows("SELECT name FROM inputs")
            lower = ((stored_text(text_of(name).lower()),) for (name,) in rows)
            scratch.run_many("INSERT INTO names VALUES (?) ON CONFLICT DO NOTHING", lower)

    @override
    def __contains__(self, name: object) -> bool:
        found = self._scratch.first("SELECT 1 FROM names WHERE name = ?", stored_text(str(name)))
        return found is not None

    @override
    def __iter__(self) -> Iterator[str]:
        return (text_of(name) for (name,) in self._scratch.rows("SELECT name FROM names"))

    @override
    def __len__(self) -> int:
        return self._scratch.number("SELECT count(*) FROM names")
