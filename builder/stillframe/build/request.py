"""What a job is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

from stillframe.archive.claims import LEASE_SECONDS
from stillframe.build.shard import WHOLE, Shard
from stillframe.options import BuildOptions
from stillframe.source.text_file import TextFile
from stillframe.store.s3_client import SCHEME, S3Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build and how. `workers` says how many tasks the executor runs at once. Where its
    workers are on other machines, `local_workers` says how many processes this one may have beside them.

    With `verify_stored` what is published already counts as that only if its objects have their digests still. Nothing
    is read in `destination`, the store's folder, wherever links among the sources lead. With a `secret` every study is
    published under a root of its own (`roots`). `s3` says how `s3://` sources are reached. `lease` is how many seconds
    another job's claim to an instance stands that is not renewed: the same for all jobs of a store. `settle` is how
    many seconds files that were written a moment ago are given to become whole.

    `manifests` name further sources, and `shard` says which part of all is done. `target` is the location of the
    destination if what a manifest names could lie in it.
    """

    sources: tuple[str, ...]
    options: BuildOptions
    workers: int = 1
    local_workers: int | None = None
    replace: bool = False
    verify_stored: bool = False
    destination: str = ""
    secret: bytes = b""
    s3: S3Settings = field(default_factory=S3Settings)
    lease: float = LEASE_SECONDS
    settle: float = 0.0
    manifests: tuple[TextFile, ...] = ()
    shard: Shard = WHOLE
    target: str = ""

    @property
    def workers_here(self) -> int:
        """How many processes this machine may have."""
        return self.workers if self.local_workers is None else self.local_workers

    @property
    def far_sources(self) -> bool:
        """Whether reading inputs is waiting for a network; manifests may name anything, and mostly objects."""
        return bool(self.manifests) or any(source.startswith(SCHEME) for source in self.sources)
