"""The record of a published instance: a private block of its metadata that says what it was made from, and how.

The block (PS3.5 7.8.1) stands in group 0099 under the creator STILLFRAME. (0099,xx01) is the digest of the source file,
behind the name of what made it (`digests`). (0099,xx02) names the options that shaped the objects, their number, their
size and one digest of them all. Pictures are counted apart, since they come and go without the others.
(0099,xx03) holds the notes of the report, a line each, absent if there are none. (0099,xx04) names who writes the
instance at the moment (`claims`). The first two are UC, since LO ends at 64 characters.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stillframe import FORMAT_VERSION
from stillframe.dicom.json_model import NUMBER_OF_FRAMES, SYNTAX, JSONDataset, dumps, first_value
from stillframe.dicom.syntaxes import Family, transfer_syntax
from stillframe.digests import ALGORITHM, digest_bytes, new_digest
from stillframe.errors import InputError
from stillframe.options import BuildOptions, Lossy, Rendered, Thumbnails

CREATOR: Final = "STILLFRAME"
UNKNOWN: Final = "sha256:unknown"
"""The digest in metadata of what is not, or no longer, published: see `claimed`."""

PRIVATE_GROUP: Final = "0099"
_CREATORS: Final = PRIVATE_GROUP + "00"
_OPTIONS = re.compile(
    r"(.*);objects=(\d+);bytes=(\d+)(?:;((?:blake3|sha256)=[0-9a-f]{64}))?(?:;pictures=(\d+),(\d+),([0-9a-f]{64}))?"
)
_FORMAT: Final = re.compile(r"format=([0-9]{1,9})(?:;|$)")
_ASSIGNED: Final = ";uids=assigned"
_LOSSY: Final = re.compile(r";lossy=([a-z,]+)")
_PICTURES: Final = re.compile(r";rendered=([a-z]+);thumbnails=([a-z]+)")
_DAMAGED: Final = ";damaged=keep"
_ANY: Final = "any"
_ALL_CHOICES: Final = 3
"""The version of the format since which a record names all choices for lossy frames that give the same objects."""
_PICTURES_APART: Final = 4
"""The version since which pictures are counted apart from the other objects."""
_OLD_THUMBNAILS: Final = "yes"
"""What records of before call thumbnails of every instance."""


@dataclass(frozen=True, slots=True)
class Holding:
    """How many objects of an instance there are, its metadata aside, and their bytes."""

    objects: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """What an instance was published from and with.

    `digest` is that of the source file, with its name. `options` are those that shaped the objects, as from
    `describe_options`, with all choices for lossy frames by which these come out the same. `promised` are the objects
    that were published, `contents` their digest, as from `contents_digest`; None and empty where the metadata do not
    say. `pictures` and `drawn` are the same of the pictures that are the instance's own. Lists own other ones.
    """

    digest: str
    options: str = ""
    promised: Holding | None = None
    contents: str = ""
    pictures: Holding = Holding()
    drawn: str = ""

    @classmethod
    def parse(cls, digest: str, options: str) -> Record:
        """The record from the values of its two elements."""
        match = _OPTIONS.fullmatch(options)
        if match is None:
            return cls(digest, options)
        pictures = Holding(int(match[5]), int(match[6])) if match[5] else Holding()
        return cls(digest, match[1], Holding(int(match[2]), int(match[3])), match[4] or "", pictures, match[7] or "")

    @property
    def algorithm(self) -> str:
        """What `contents` and `drawn` were made with."""
        return self.contents.partition("=")[0] or ALGORITHM

    @property
    def version(self) -> int:
        """The version of the format that the instance was published in, 0 if the record does not say."""
        match = _FORMAT.match(self.options)
        return int(match[1]) if match else 0

    @property
    def counts_apart(self) -> bool:
        """Whether pictures are counted apart: in older records, `promised` and `contents` are of them, too."""
        return self.version >= _PICTURES_APART

    @property
    def has_thumbnail(self) -> bool:
        """Whether a thumbnail of its own was asked for."""
        return self._thumbnails in (Thumbnails.INSTANCES, _OLD_THUMBNAILS)

    @property
    def is_shown(self) -> bool:
        """Whether it may stand for its series and its study."""
        return self.has_thumbnail or self._thumbnails == Thumbnails.SERIES

    @property
    def has_rendered(self) -> bool:
        """Whether a picture was asked for under `rendered`."""
        return self._rendered == Rendered.ALWAYS

    @property
    def has_document(self) -> bool:
        """Whether a document or a video was asked for under `rendered`."""
        return self._rendered != Rendered.NEVER

    @property
    def keeps_damaged(self) -> bool:
        """Whether damaged frames were tolerated."""
        return _DAMAGED in self.options

    @property
    def _rendered(self) -> str:
        match = _PICTURES.search(self.options)
        return match[1] if match else ""

    @property
    def _thumbnails(self) -> str:
        match = _PICTURES.search(self.options)
        return match[2] if match else ""

    def fits(self, options: str) -> bool:
        """Whether it is as it would be with `options`, as `describe_options` has them of what is asked for.

        Pictures aside, see `shows`.
        """
        return self._allows_choice(options) and _LOSSY.sub("", _unpictured(self.options)) == _LOSSY.sub(
            "", _unpictured(options)
        )

    def needs_review(self, options: str) -> bool:
        """Whether it may be as it would be with `options`, as from `describe_options`, although they differ.

        They differ in an older version of the format, or in whether UIDs are assigned, which few instances need.
        """
        alike = self._allows_choice(options) and _shape(self.options) == _shape(options)
        return alike and not self.fits(options) and self.version <= FORMAT_VERSION

    def shows(self, options: str) -> bool:
        """Whether its pictures are those that `options` ask for, and counted as they are now."""
        own, asked = _PICTURES.search(self.options), _PICTURES.search(options)
        return self.counts_apart and own is not None and asked is not None and own[0] == asked[0]

    def showing(self, options: str, choices: Collection[Lossy] = ()) -> str:
        """Its options with the pictures and the other things that review allows to differ as in `options`.

        A record that does not name all choices for lossy frames gets `choices`.
        """
        own = _LOSSY.search(self.options) if self.version >= _ALL_CHOICES else None
        lossy = own[1] if own else _name_choices(choices)
        return _LOSSY.sub(f";lossy={lossy}", options, count=1)

    def _allows_choice(self, options: str) -> bool:
        """Whether lossy frames may be as they would be with the choice among `options`."""
        own, asked = _choices(self.options), _choices(options)
        if self.version < _ALL_CHOICES and own == {Lossy.KEEP}:
            own |= {Lossy.AUTO}  # what the default was named before it left out JPEG XL
        return asked <= own


def digest_of_metadata(metadata: JSONDataset, algorithm: str = ALGORITHM) -> bytes:
    """The digest of the metadata of an instance as they are published, but for the private block."""
    return digest_bytes(dumps([dict(sorted(without_record(metadata).items()))]), algorithm)


def contents_digest(digests: Mapping[str, bytes], algorithm: str = ALGORITHM) -> str:
    """One digest of all objects of an instance, with its name, as a record has it."""
    return f"{algorithm}={digest_of_objects(digests, algorithm)}"


def digest_of_objects(digests: Mapping[str, bytes], algorithm: str = ALGORITHM) -> str:
    """One digest (in hex) of some objects of an instance.

    Args:
        digests: the digest of each object by its key; of its metadata that of `digest_of_metadata`.
        algorithm: what all of them are made with.
    """
    whole = new_digest(algorithm)
    for key, digest in sorted(digests.items()):
        whole.update(key.encode() + b"\0" + digest)
    return whole.hexdigest()


def _unpictured(options: str) -> str:
    return _PICTURES.sub("", options)


def _shape(options: str) -> str:
    return _LOSSY.sub("", _FORMAT.sub("", _unpictured(options))).removesuffix(_ASSIGNED)


def _choices(options: str) -> set[str]:
    match = _LOSSY.search(options)
    return set() if match is None else set(Lossy) if match[1] == _ANY else set(match[1].split(","))


def describe_options(options: BuildOptions, choices: Collection[Lossy] = ()) -> str:
    """The options that shape an instance's objects, as its record has them.

    Args:
        options: what is asked for.
        choices: for lossy frames, by which the objects come out the same; without any, as asked for.
    """
    levels = ",".join(map(str, options.reduced))
    return (
        f"format={FORMAT_VERSION};reduced={levels};lossy={_name_choices(choices or {options.lossy})}"
        f";part10={options.part10};rendered={options.rendered};thumbnails={options.thumbnails}"
        f"{_DAMAGED if options.keep_damaged else ''}"
        f"{_ASSIGNED if options.assign_uids else ''}"
    )


def _name_choices(choices: Collection[Lossy]) -> str:
    return _ANY if set(choices) == set(Lossy) else ",".join(sorted(choices))


def with_record(dataset: JSONDataset, record: Record, notes: Sequence[str] = ()) -> JSONDataset:
    """A copy of the data set with the private block, in place of any it had, in the first free block of the group.

    Args:
        dataset: the metadata of an instance.
        record: what it was published from and with.
        notes: what the report says of the instance, a line each.

    Raises:
        InputError: if every block of the group is taken.
    """
    kept = without_record(dataset)
    taken = {key[6:] if key[4:6] == "00" else key[4:6] for key in kept if key[:4] == PRIVATE_GROUP}
    block = next((f"{number:02X}" for number in range(0x10, 0x100) if f"{number:02X}" not in taken), None)
    if block is None:
        raise InputError(f"every private block of group {PRIVATE_GROUP} is taken")
    options = record.options
    if record.promised:
        options += f";objects={record.promised.objects};bytes={record.promised.size}"
        options += f";{record.contents}" if record.contents else ""
        if record.drawn:
            options += f";pictures={record.pictures.objects},{record.pictures.size},{record.drawn}"
    added = {
        f"{PRIVATE_GROUP}00{block}": {"vr": "LO", "Value": [CREATOR]},
        f"{PRIVATE_GROUP}{block}01": {"vr": "UC", "Value": [record.digest]},
        f"{PRIVATE_GROUP}{block}02": {"vr": "UC", "Value": [options]} if options else {"vr": "UC"},
    }
    if notes:
        added[f"{PRIVATE_GROUP}{block}03"] = {"vr": "UT", "Value": ["\n".join(notes)]}
    return dict(sorted((kept | added).items()))


def claimed(dataset: JSONDataset, holder: str) -> JSONDataset:
    """The metadata of an instance whose objects are being written by `holder`: they come from no one input."""
    marked = with_record(dataset, Record(UNKNOWN))
    (block,) = _own_blocks(marked)
    return dict(sorted((marked | {f"{PRIVATE_GROUP}{block}04": {"vr": "UT", "Value": [holder]}}).items()))


def holder_of(dataset: JSONDataset) -> str:
    """Who writes the instance at the moment; empty if nobody does."""
    return _first(dataset, "04")


def record_of(dataset: JSONDataset) -> Record | None:
    """The record of an instance; None if its metadata have none, or are those of `claimed`."""
    for block in _own_blocks(dataset):
        digest = _value(dataset, block, "01")
        if digest and digest != UNKNOWN:
            return Record.parse(digest, _value(dataset, block, "02"))
    return None


def notes_of(dataset: JSONDataset) -> tuple[str, ...]:
    """What was told of the instance when it was published."""
    lines = _first(dataset, "03")
    return tuple(lines.split("\n")) if lines else ()


def without_record(dataset: JSONDataset) -> JSONDataset:
    """The data set without our blocks; the same object if it has none."""
    blocks = _own_blocks(dataset)
    if not blocks:
        return dataset
    creators = {f"{PRIVATE_GROUP}00{block}" for block in blocks}
    owned = {f"{PRIVATE_GROUP}{block}" for block in blocks}
    return {key: element for key, element in dataset.items() if key not in creators and key[:6] not in owned}


def promised_frames(metadata: JSONDataset) -> int:
    """How many frames the metadata of an instance promise; none of a video."""
    syntax = first_value(metadata, SYNTAX)
    if syntax is None or transfer_syntax(str(syntax)).family is Family.VIDEO:
        return 0
    return int(first_value(metadata, NUMBER_OF_FRAMES) or 1)


def mark_of(metadata: JSONDataset) -> str:
    """What the thumbnail of an instance says of what it was drawn from; empty where the record does not tell."""
    record = record_of(metadata)
    return mark(record.contents, record.version) if record is not None and record.contents else ""


def mark(contents: str, version: int = FORMAT_VERSION) -> str:
    """The mark of a thumbnail of an instance whose objects have that digest."""
    return f"{CREATOR} format={version} {contents}"


def may_be_shown(metadata: JSONDataset) -> bool:
    """Whether an instance may have a thumbnail: the options ask for it, and something decodes its frames."""
    record = record_of(metadata)
    if record is None or not record.is_shown or not promised_frames(metadata):
        return False
    return not transfer_syntax(str(first_value(metadata, SYNTAX))).is_passed_through


def _own_blocks(dataset: JSONDataset) -> list[str]:
    return [
        key[6:]
        for key, element in dataset.items()
        if key[:6] == _CREATORS and key[6:] >= "10" and element.get("Value") == [CREATOR]
    ]


def _first(dataset: JSONDataset, element: str) -> str:
    return next(filter(None, (_value(dataset, block, element) for block in _own_blocks(dataset))), "")


def _value(dataset: JSONDataset, block: str, element: str) -> str:
    values = dataset.get(f"{PRIVATE_GROUP}{block}{element}", {}).get("Value")
    return str(values[0]) if values else ""
