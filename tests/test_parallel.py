from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from stillframe.parallel import made_once, map_ahead, side_by_side


def test_a_value_is_made_once_however_many_threads_want_it() -> None:
    made: list[int] = []

    @made_once
    def make(number: int) -> list[int]:
        time.sleep(0.02)
        made.append(number)
        return [number]

    results = side_by_side(8, make, [1, 2] * 8)
    assert sorted(made) == [1, 2]
    assert results == [[1], [2]] * 8
    assert len({id(result) for result in results}) == 2


@pytest.mark.parametrize("at_once", [0, 1, 3, 100])
def test_results_come_in_the_order_of_the_items(at_once: int) -> None:
    def wait(number: int) -> int:
        time.sleep(0.01 * (5 - number))
        return 2 * number

    assert side_by_side(at_once, wait, range(5)) == [0, 2, 4, 6, 8]
    assert list(map_ahead(wait, range(5), max(1, at_once))) == [0, 2, 4, 6, 8]


def test_side_by_side_keeps_to_its_number_and_begins_nothing_after_a_failure() -> None:
    """What is under way then is not waited for: a store may be asked again and again for minutes."""
    lock, beside, going_on = threading.Lock(), threading.Event(), threading.Event()
    under_way = most = begun = 0

    def work(number: int) -> None:
        nonlocal under_way, most, begun
        with lock:
            begun, under_way = begun + 1, under_way + 1
            most = max(most, under_way)
        time.sleep(0.01)
        if number == 6:
            beside.set()
            going_on.wait(20)
        with lock:
            under_way -= 1
        if number == 5:
            beside.wait(20)
            raise ValueError("the sixth")

    started = time.monotonic()
    with pytest.raises(ValueError, match="the sixth"):
        side_by_side(3, work, range(1000))
    assert most == 3
    assert under_way >= 1
    assert time.monotonic() - started < 15
    assert begun < 50
    going_on.set()


def test_what_is_ahead_is_as_much_as_was_asked_for() -> None:
    """Items are taken no further than that: there may be millions."""
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = map_ahead(str, items(), 2, window=5)
    assert taken == []
    assert next(results) == "0"
    assert taken == [0, 1, 2, 3, 4, 5]
    assert next(results) == "1"
    assert taken == [0, 1, 2, 3, 4, 5, 6]
    results.close()
    assert taken == [0, 1, 2, 3, 4, 5, 6]


def test_items_that_are_not_worth_a_thread_are_called_in_the_callers_own() -> None:
    results = map_ahead(lambda _: threading.current_thread(), range(6), 2, apart=lambda number: number % 2 == 1)
    threads = list(results)
    assert all((thread is threading.current_thread()) == (number % 2 == 0) for number, thread in enumerate(threads))


def test_who_closes_the_results_waits_for_nothing() -> None:
    going_on, begun = threading.Event(), []

    def work(number: int) -> int:
        begun.append(number)
        if number:
            going_on.wait(20)
        return number

    results = map_ahead(work, range(100), 2, window=10)
    assert next(results) == 0
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 5
    going_on.set()
    time.sleep(0.05)
    assert len(begun) <= 4


def test_a_failure_is_raised_where_its_result_would_be() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise ValueError("the fourth")
        return number

    results = map_ahead(work, range(10), 4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the fourth"):
        next(results)
