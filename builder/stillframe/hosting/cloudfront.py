"""Tells a distribution of CloudFront which copies to drop, within what it takes at once."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

from stillframe.errors import InvalidationError, UsageError
from stillframe.hosting.invalidation import Invalidation, is_wildcard

# Quotas of one distribution: paths with and without a wildcard in invalidations under way at once.
MOST_WILDCARDS: Final = 15
MOST_PATHS: Final = 3000
_POLL_SECONDS: Final = 10.0
_PATIENCE_SECONDS: Final = 1800.0
_LATER: Final = frozenset({"TooManyInvalidationsInProgress", "Throttling", "ServiceUnavailable"})
_DISTRIBUTION = re.compile(r"[A-Z0-9]{3,64}")


def check_distribution(name: str) -> str:
    """Return the ID of a distribution if it can be one.

    Raises:
        UsageError: if not.
    """
    if not _DISTRIBUTION.fullmatch(name):
        raise UsageError(f"not the ID of a CloudFront distribution, such as E2QWRUHAPOMQZL: {name!r}")
    return name


def make_client(profile: str = "") -> Any:
    """A client for CloudFront, whose credentials come from where those of the store do.

    Raises:
        InvalidationError: if there are none.
    """
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session(profile_name=profile or None)
        return session.client("cloudfront", region_name=session.region_name or "us-east-1")
    except (BotoCoreError, ValueError) as error:
        raise InvalidationError(f"CloudFront cannot be reached: {error}") from error


def invalidate(client: Any, distribution: str, paths: tuple[str, ...], poll: float = _POLL_SECONDS) -> Invalidation:
    """Have a distribution drop its copies of some paths; the result says what went wrong.

    More paths than it takes at once go in turns. Each begins when the one before has reached every edge, which takes
    minutes.

    Args:
        client: as from `make_client`.
        distribution: its ID.
        paths: see `invalidation.invalidation_paths`.
        poll: seconds between two looks at what is under way.
    """
    ids: list[str] = []
    try:
        for batch in batches(paths):
            if ids:
                _wait(client, distribution, ids[-1], poll)
            ids.append(_create(client, distribution, batch, poll))
    except InvalidationError as error:
        return Invalidation(distribution, paths, tuple(ids), str(error))
    return Invalidation(distribution, paths, tuple(ids))


def batches(paths: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Paths in turns that a distribution takes at once."""
    batch: list[str] = []
    wildcards = 0
    for path in paths:
        if len(batch) - wildcards + (not is_wildcard(path)) > MOST_PATHS or (
            wildcards + is_wildcard(path) > MOST_WILDCARDS
        ):
            yield tuple(batch)
            batch, wildcards = [], 0
        batch.append(path)
        wildcards += is_wildcard(path)
    if batch:
        yield tuple(batch)


def _create(client: Any, distribution: str, paths: tuple[str, ...], poll: float) -> str:
    request = {"Paths": {"Quantity": len(paths), "Items": list(paths)}, "CallerReference": f"stillframe-{uuid.uuid4()}"}
    create = partial(client.create_invalidation, DistributionId=distribution, InvalidationBatch=request)
    answer = _persist(create, f"CloudFront distribution {distribution}", poll)
    return str(answer["Invalidation"]["Id"])


def _wait(client: Any, distribution: str, invalidation: str, poll: float) -> None:
    def completed(answer: Any) -> bool:
        return str(answer["Invalidation"]["Status"]).lower() == "completed"

    look = partial(client.get_invalidation, DistributionId=distribution, Id=invalidation)
    _persist(look, f"invalidation {invalidation} of CloudFront distribution {distribution}", poll, completed)


def _persist(call: Callable[[], Any], what: str, poll: float, done: Callable[[Any], bool] = lambda _: True) -> Any:
    """The answer to a request, made again until it says that it is `done`, and while CloudFront has too much to do."""
    from botocore.exceptions import BotoCoreError, ClientError

    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            answer = call()
            if done(answer):
                return answer
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code not in _LATER or time.monotonic() > deadline:
                message = " ".join(str(error.response.get("Error", {}).get("Message", "")).split())[:300]
                raise InvalidationError(f"{what}: {code}: {message}") from error
        except BotoCoreError as error:
            raise InvalidationError(f"{what}: {' '.join(str(error).split())[:300]}") from error
        if time.monotonic() > deadline:
            raise InvalidationError(f"{what} is not completed after {_PATIENCE_SECONDS:.0f} s")
        time.sleep(poll)
