from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

from stillframe import cluster_worker
from stillframe.errors import MachineError
from stillframe.task_process import pack_task, unpack_answer
from tests.support.trees import processes_of_session
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def test_a_job_whose_processes_cannot_be_started_holds_up_no_other() -> None:
    """As where its libraries come from a folder that does not answer."""
    one, other = (cluster_worker._job(name) for name in ("one", "other"))
    session = unpack_answer(one.answer(pack_task(os.getsid, (0,), {}, "/")))
    os.kill(session, signal.SIGSTOP)
    answers: dict[Any, bytes] = {}

    def answer(name: str, fn: Any, *args: Any) -> None:
        answers[fn] = cluster_worker._job(name).answer(pack_task(fn, args, {}, "/"))

    busy = threading.Thread(target=answer, args=("one", time.sleep, 600), daemon=True)
    waiting = threading.Thread(target=answer, args=("one", os.getpid), daemon=True)
    try:
        busy.start()
        until(lambda: not one._idle)
        waiting.start()
        beside = threading.Thread(target=answer, args=("other", divmod, 17, 5), daemon=True)
        beside.start()
        beside.join(60)
        assert unpack_answer(answers[divmod]) == (3, 2)
        end = threading.Thread(target=one.end, daemon=True)
        end.start()
        for thread in (end, busy, waiting):
            thread.join(60)
            assert not thread.is_alive()
        for fn in (time.sleep, os.getpid):
            with pytest.raises(MachineError, match="the job was ended"):
                unpack_answer(answers[fn])
        until(lambda: not processes_of_session(session))
    finally:
        if processes_of_session(session):
            os.kill(session, signal.SIGKILL)
        one.end()
        other.end()
