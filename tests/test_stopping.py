from __future__ import annotations

import signal

import pytest

from stillframe.stopping import Stopped, finish, stoppable, unstopped


def test_the_first_signal_stops_and_the_second_interrupts() -> None:
    with stoppable():
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt) as second:
            signal.raise_signal(signal.SIGTERM)
        assert second.type is KeyboardInterrupt


def test_handlers_of_errors_do_not_take_it() -> None:
    assert issubclass(Stopped, KeyboardInterrupt)
    assert not issubclass(Stopped, Exception)


def stop_within(done: list[str], times: int) -> None:
    """A block that signals come to, and its end."""
    with unstopped():
        for _ in range(times):
            signal.raise_signal(signal.SIGTERM)
        done.append("the rest of the block")


def test_what_must_not_be_cut_in_two_is_not() -> None:
    done: list[str] = []
    with stoppable():
        with pytest.raises(Stopped):
            stop_within(done, 1)
        stop_within(done, 0)  # nothing is held up any more
    assert len(done) == 2


def test_a_second_signal_is_not_held_up() -> None:
    done: list[str] = []
    with stoppable(), pytest.raises(KeyboardInterrupt) as second:
        stop_within(done, 2)
    assert second.type is KeyboardInterrupt
    assert not done
    with stoppable(), unstopped():
        pass


def test_a_job_that_has_ended_is_not_stopped() -> None:
    done: list[str] = []
    with stoppable():
        finish()
        stop_within(done, 0)
        stop_within(done, 1)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    with stoppable(), pytest.raises(Stopped):  # the next one is stopped
        signal.raise_signal(signal.SIGTERM)
    assert len(done) == 2


def test_the_handler_of_before_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stoppable(), pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
