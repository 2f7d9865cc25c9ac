"""Workers in which images of some size meet a decoder that does what a test asks for, in the worker's sandbox.

python -m tests.support.bad_decoders SOURCE DEST EXPRESSION    builds with one worker, and prints the report
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from stillframe.build.tasks import InstanceTask, Result
from stillframe.build.workers import build_instances
from stillframe.execute import ProcessExecutor
from stillframe.pixels import decoders
from tests.support.trees import build_tree

BAD_ROWS: Final = 13
"""Rows of the images whose decoder is bad."""


class BadDecoders(ProcessExecutor):
    """Workers in which images of `BAD_ROWS` rows are decoded by evaluating a Python expression."""

    def __init__(self, workers: int, expression: str) -> None:
        super().__init__(workers)
        self._expression = expression

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `ProcessExecutor`."""
        return super().submit(partial(_build, self._expression) if fn is build_instances else fn, *args, **kwargs)


def _build(expression: str, tasks: Sequence[InstanceTask]) -> list[Result]:
    decoders_of = decoders._decoders

    def chosen(data: bytes, facts: Any, description: Any) -> Iterator[tuple[str, Callable[..., Any], Any]]:
        if description.rows == BAD_ROWS:
            yield "the test", eval, expression
        else:
            yield from decoders_of(data, facts, description)

    with patch.object(decoders, "_decoders", chosen):
        return build_instances(tasks)


def _main(source: str, destination: str, expression: str) -> None:
    with BadDecoders(1, expression) as executor:
        try:
            report = build_tree(Path(destination), Path(source), executor=executor)
        except KeyboardInterrupt:
            executor.end_processes()  # as the command does
            raise
    print(json.dumps(report.as_json()))


if __name__ == "__main__":
    _main(*sys.argv[1:])
