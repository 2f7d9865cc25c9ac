from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stillframe.archive.frame_index import merge_frame_index
from stillframe.codec.codestream import FrameRow, Resolution

ROWS = st.lists(
    st.builds(
        lambda lengths, crc: FrameRow(
            tuple(Resolution(3 - k, 8 << k, 8 << k, length) for k, length in enumerate(sorted(lengths))), crc
        ),
        st.lists(st.integers(100, 10**6), min_size=4, max_size=4),
        st.integers(0, 2**32 - 1),
    ),
    max_size=3,
)
INSTANCES = st.dictionaries(st.sampled_from(["1.1", "1.2", "1.3", "1.4"]), ROWS, max_size=4)


@given(INSTANCES, INSTANCES, INSTANCES)
def test_merging_rows_is_idempotent_and_does_not_depend_on_grouping(
    a: dict[str, list[FrameRow]], b: dict[str, list[FrameRow]], c: dict[str, list[FrameRow]]
) -> None:
    step_by_step = merge_frame_index(merge_frame_index(merge_frame_index(None, a), b), c)
    assert step_by_step == merge_frame_index(None, a | b | c)
    assert merge_frame_index(step_by_step, c) == step_by_step


@given(INSTANCES)
def test_every_row_and_checksum_is_found_again(rows: dict[str, list[FrameRow]]) -> None:
    index = merge_frame_index(None, rows)
    found = {
        uid: (group["instances"][uid], group["crc32"][uid]) for group in index["groups"] for uid in group["instances"]
    }
    assert found == {
        uid: ([[r.prefix_length for r in row.resolutions] for row in frames], [f"{row.crc32:08x}" for row in frames])
        for uid, frames in rows.items()
        if frames
    }


@given(INSTANCES, INSTANCES)
def test_the_order_of_merging_does_not_matter_where_instances_differ(
    a: dict[str, list[FrameRow]], b: dict[str, list[FrameRow]]
) -> None:
    others = {f"{uid}.9": rows for uid, rows in b.items()}
    assert merge_frame_index(merge_frame_index(None, a), others) == merge_frame_index(
        merge_frame_index(None, others), a
    )


@given(INSTANCES, st.sets(st.sampled_from(["1.1", "1.2", "1.3", "1.4"])))
def test_what_is_gone_is_as_if_it_had_never_been(rows: dict[str, list[FrameRow]], gone: set[str]) -> None:
    index = merge_frame_index(merge_frame_index(None, rows), {}, frozenset(gone))
    assert index == merge_frame_index(None, {uid: found for uid, found in rows.items() if uid not in gone})


def test_instances_of_one_size_share_a_group() -> None:
    def row(width: int, height: int, *prefixes: int) -> FrameRow:
        levels = range(len(prefixes) - 1, -1, -1)
        return FrameRow(
            tuple(Resolution(k, width >> k, height >> k, p) for k, p in zip(levels, prefixes, strict=True)), 7
        )

    index = merge_frame_index(
        None,
        {"1.2": [row(64, 32, 100, 900)], "1.10": [row(64, 32, 5000, 9000)], "1.3": [row(32, 64, 100, 900)]},
    )
    assert [
        ([(level["decodeLevel"], level["width"], level["height"]) for level in group["levels"]], group["instances"])
        for group in index["groups"]
    ] == [
        ([(1, 16, 32), (0, 32, 64)], {"1.3": [[100, 900]]}),
        ([(1, 32, 16), (0, 64, 32)], {"1.10": [[5000, 9000]], "1.2": [[100, 900]]}),
    ]
    assert index["groups"][0]["crc32"] == {"1.3": ["00000007"]}


def test_sizes_that_ended_within_a_resolution_are_suggested_no_more() -> None:
    row = FrameRow((Resolution(1, 32, 16, 100), Resolution(0, 64, 32, 900)), 7)
    index = merge_frame_index(None, {"1.2": [row]})
    before = {**index, "groups": [{**index["groups"][0], "suggested": {"chunkSize": {"1": 4096}}}]}
    assert merge_frame_index(before, {}) == index
    assert "suggested" not in index["groups"][0]
