"""What a build takes over from the report of an earlier attempt that did not end well."""

from __future__ import annotations

from collections.abc import Iterable

from stillframe.build.json_stream import JSONPath, iter_values
from stillframe.build.report import Report
from stillframe.build.report_shape import NO_REPORT, check_key
from stillframe.errors import InputError


def take_over(report: Report, chunks: Iterable[str]) -> None:
    """Take over what an earlier attempt changed: the next one finds it unchanged, while caches hold what was before.

    Nothing is taken over from a report that tells of no failure: whoever reads it was told everything.

    Args:
        report: of this attempt.
        chunks: of the text of the earlier report, as they are read.

    Raises:
        InputError: if it is no report of a build, or cannot be read.
    """
    earlier, failed = Report(), False
    for path, value in iter_values(chunks, _leads_on):
        match path, value:
            case (("changed", _), str(key)):
                check_key(key, "it tells of a change of what is")
                earlier.add_changed(key)
            case (("roots", str(study)), str(root)):
                earlier.kept_roots[study] = root
            case (("changed" | "roots", *_), _):
                raise InputError(NO_REPORT)
            case (("failure", *_) | ("invalidation", "failure"), _):
                failed = True
    if failed:
        report.take_over(earlier)


def _leads_on(path: JSONPath) -> bool:
    return len(path) < (3 if path[:1] == ("failure",) else 2)
