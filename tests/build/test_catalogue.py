"""A catalogue gives back what was put in, by study and series."""

from __future__ import annotations

from stillframe.build.catalogue import Catalogue
from stillframe.dicom.uids import InstanceUIDs
from stillframe.source.inputs import Header, InputRef, Rejected, Skipped

SOURCES = [InputRef(path=f"in/{name}.dcm", size=number) for number, name in enumerate("dcbaE")]
HEADERS = [
    Header(SOURCES[0], InstanceUIDs("1.10", "1.10.2", "1"), "P", "N"),
    Header(SOURCES[1], InstanceUIDs("1.9", "1.9.1", "2"), "", "N\udcff"),
    Header(SOURCES[2], InstanceUIDs("1.9", "1.9.1", "1"), "P", ""),
    Header(SOURCES[3], InstanceUIDs("1.9", "1.9.1", "2"), "", "N\udcff"),
    Header(SOURCES[4], InstanceUIDs("1.9", "1.9.1.1", "3"), "P", ""),
]


def filled() -> Catalogue:
    catalogue = Catalogue()
    catalogue.add(Skipped("in/X.txt", "a pipe"))
    for source in SOURCES:
        catalogue.add(source)
    catalogue.add(Rejected(path="in/y.zip", reason="damaged"))
    for (ordinal, _), header in zip(catalogue.iter_inputs(), HEADERS, strict=True):
        catalogue.add_header(ordinal, header)
    catalogue.order()
    return catalogue


def test_inputs_keep_their_order() -> None:
    catalogue = filled()
    assert [source for _, source in catalogue.iter_inputs()] == SOURCES
    assert (catalogue.inputs, catalogue.headers) == (5, 5)


def test_studies_and_series_come_in_the_order_of_their_uids() -> None:
    catalogue = filled()
    assert [*catalogue.iter_studies()] == ["1.10", "1.9"]
    assert [*catalogue.series_of("1.9")] == ["1.9.1", "1.9.1.1"]
    assert [*catalogue.headers_of("1.9", "1.9.1")] == HEADERS[1:4]
    assert catalogue.instances_of("1.10") == {HEADERS[0].uids}


def test_patients_are_counted_in_the_order_in_which_they_come() -> None:
    assert [*filled().named_in("1.9").items()] == [(("", "N\udcff"), 2), (("P", ""), 2)]


def test_what_is_left_is_the_first_input_of_each_instance() -> None:
    catalogue = filled()
    assert sorted(catalogue.first_inputs_behind("", "")) == [f"in/{name}.dcm" for name in "Ebcd"]
    assert sorted(catalogue.first_inputs_behind("1.10", "1.10.2")) == [f"in/{name}.dcm" for name in "Ebc"]
    assert [*catalogue.first_inputs_behind("1.9", "1.9.1")] == ["in/E.dcm"]


def test_names_are_known_in_lower_case() -> None:
    names = filled().names()
    assert {"in/x.txt", "in/e.dcm", "in/y.zip"} <= {*names}
    assert ("in/e.dcm" in names, "in/E.dcm" in names, len(names)) == (True, False, 7)


def test_what_is_put_off_comes_later() -> None:
    catalogue = filled()
    for ordinal, source in catalogue.iter_inputs():
        if source.size % 2:
            catalogue.put_off(ordinal)
    assert [source for _, source in catalogue.iter_put_off()] == [SOURCES[1], SOURCES[3]]
