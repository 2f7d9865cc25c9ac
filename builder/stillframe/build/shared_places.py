"""Whether workers on other machines see what a job reads and where it writes: asked before they are given tasks.

A folder that is not the same one there would be an archive in pieces. So this machine and the worker each leave a token
in the destination, which the other has to find. Of each source, the worker has to see one file as this machine does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from stillframe.errors import InputError, MachineError, StillframeError
from stillframe.source.changes import is_another, state_of
from stillframe.source.find import check_sources
from stillframe.source.folders import Walk
from stillframe.source.inputs import FileState
from stillframe.source.manifest import Listed, parse_manifest
from stillframe.source.met import Met
from stillframe.source.text_file import STDIN, TextFile
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import SCHEME, S3Settings
from stillframe.store.tokens import has_token, leave_token, remove_tokens

# Sources of a job that workers are asked about, and paths of each manifest.
_ASKED: Final = 16
# Lines of a manifest that are looked at for such.
_LINES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPlaces:
    """What a worker has to see: sources, a file of each with its state, and the destination unless nothing is written.

    `token` is what this machine left there.
    """

    sources: tuple[str, ...]
    s3: S3Settings = field(default_factory=S3Settings)
    samples: tuple[tuple[str, str, FileState], ...] = ()
    store: Store | None = None
    token: str = ""


def check_places(
    ask: Callable[..., dict[str, Any]], sources: tuple[str, ...], s3: S3Settings, store: Store | None
) -> None:
    """See that workers share the sources of a job, and its store if it has one.

    `ask` runs a function with its arguments in each of the workers, and gives their results by their addresses.

    Raises:
        MachineError: naming the worker and the place that it does not share.
        StoreError: if the store fails here.
    """
    with _token(store) as token:
        asked = _some_of(sources)
        samples = tuple(_samples(asked))
        places = SharedPlaces(sources=asked, s3=s3, samples=samples, store=store, token=token)
        for worker, answer in ask(see_places, places).items():
            if store is None:
                continue
            if not has_token(store, answer):
                raise MachineError(f"worker {worker}: {_not_shared(store)}")


def listed_paths(manifests: Iterable[TextFile]) -> tuple[str, ...]:
    """The first few files and folders that manifests name near their beginning, for `check_places`.

    Standard input can be read once, by whoever reads it for the job.

    Raises:
        StoreError: if the store of a manifest fails.
    """
    paths: list[str] = []
    for manifest in manifests:
        if manifest.location != STDIN:
            with suppress(InputError):  # whoever reads it for the job says so
                named = islice(parse_manifest(str(manifest), manifest.lines()), _LINES)
                local = (line.location for line in named if isinstance(line, Listed) and _is_here(line.location))
                paths += islice(local, _ASKED)
    return tuple(paths)


def _is_here(location: str) -> bool:
    return not location.startswith(SCHEME) and os.path.exists(location)  # noqa: PTH110  (it takes failures for a no)


def _some_of(sources: tuple[str, ...]) -> tuple[str, ...]:
    """So many of the sources, from all over."""
    count = min(len(sources), _ASKED)
    return tuple(sources[index * len(sources) // count] for index in range(count))


def see_places(places: SharedPlaces) -> str:
    """In a worker: see that the places are there, and leave a token of its own in the store.

    Raises:
        MachineError: naming the place that is not there, or is another.
        StoreError: if a store fails.
    """
    for source, path, state in places.samples:
        try:
            same = not is_another(state, state_of(Path(path).stat()))
        except OSError:
            same = False
        if not same:
            raise MachineError(
                f"it does not see {path} of the source {source} as it is: sources have to lie on a file system that "
                "all workers share, under the same path, or in a store"
            )
    try:
        check_sources([source for source in places.sources if source.startswith(SCHEME)], places.s3)
    except StillframeError as error:
        raise MachineError(f"it does not reach a source: {error}") from error
    store = places.store
    if store is None:
        return ""
    if isinstance(store, S3Store):
        store.check()
    if not has_token(store, places.token):
        raise MachineError(_not_shared(store))
    return leave_token(store, places.token)


def _not_shared(store: Store) -> str:
    if isinstance(store, DirectoryStore):
        return (
            f"its {store.root} is another folder than this machine's: the destination has to lie on a file system that "
            "all workers share, under the same path, or in a store"
        )
    return f"what it reaches as {store} is another store than this machine's: see to its endpoint and configuration"


@contextmanager
def _token(store: Store | None) -> Iterator[str]:
    """A token in the store while the block runs."""
    if store is None:
        yield ""
        return
    token = leave_token(store)
    try:
        yield token
    finally:
        remove_tokens(store, token)


def _samples(sources: tuple[str, ...]) -> Iterator[tuple[str, str, FileState]]:
    """Of each source that is a file or folder the path and state of its first file."""
    met = Met()
    for source in sources:
        if source.startswith(SCHEME):
            continue
        for path in islice((path for path in Walk("", met).files(Path(source)) if isinstance(path, str)), 1):
            try:
                yield source, path, state_of(Path(path).stat())
            except OSError:
                continue  # a link that leads nowhere: the report names it
