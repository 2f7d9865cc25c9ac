"""Where objects are put: one abstract class, the verbs of an object store.

A store maps keys to bytes. `put` is atomic: a reader, or a job that is killed, sees the whole old object or the whole
new one. Conditions make read-merge-write safe when several jobs share a store. `directory` and `s3` hold the stores.
One set of tests runs against both, and against a store in memory that only tests have.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stillframe.dicom.files import ReadableFile


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's bytes and the tag that names this version of it."""

    data: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """What a store tells of an object without its bytes; `size` as stored, which compression may have changed."""

    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Written:
    """What was put: the size of its content in bytes and, if the write had a condition, the tag of this version."""

    size: int
    etag: str = ""


@dataclass(frozen=True, slots=True)
class KeptVersions:
    """Older versions that a store keeps of what was deleted, for `days` days; None if it does not tell how long."""

    days: int | None


class Draft(ABC):
    """A resource that nobody sees while it is made, and that gets its place as a whole; nobody else can write there.

    Every method raises `ClaimLost` if another job took over, `StoreError` if the store fails for good.
    """

    @abstractmethod
    def put(self, key: str, data: bytes | ReadableFile) -> Written:
        """Write an object of the resource, as `Store.put` does."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object if it is there."""

    @abstractmethod
    def renew(self) -> None:
        """Show that whoever makes it lives."""

    @abstractmethod
    def commit(self) -> None:
        """Put the resource in its place, where nothing may be by now."""

    @abstractmethod
    def close(self) -> None:
        """Remove what was not committed."""


class Store(ABC):
    """Keys to bytes. What workers use is picklable: a worker process gets its own copy.

    Every method raises `StoreError` if the store fails for good.
    """

    durable = False
    """Whether `sync` has something to wait for."""

    @property
    def parallel(self) -> int:
        """How many requests of one process are worth having under way at once; 1 for a local store."""
        return 1

    @property
    def key_prefix(self) -> str:
        """What stands before every key where the objects are: a prefix of a bucket, the name of a root of its own."""
        return ""

    @abstractmethod
    def get(self, key: str) -> StoredObject | None:
        """The object, or None if there is none."""

    def get_range(self, key: str, offset: int, length: int) -> bytes | None:
        """That range of the object's bytes, less where it ends before; None if there is no object."""
        stored = self.get(key)
        return None if stored is None else stored.data[offset : offset + length]

    def head(self, key: str) -> ObjectHead | None:
        """Size and tag of an object, or None if there is none."""
        stored = self.get(key)
        return None if stored is None else ObjectHead(len(stored.data), stored.etag)

    @abstractmethod
    def put(
        self, key: str, data: bytes | ReadableFile, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        """Write an object whole, from bytes or from a file read to its end.

        `if_match` asks for that version to be there, `if_none_match` for none at all. Files are written without a
        condition. Where an answer got lost, a condition may seem to fail although the write took place: whoever reads
        the object again finds it.

        Raises:
            PreconditionFailed: if the condition does not hold.
            KeyRefused: if the store takes others, but not this object.
        """

    @abstractmethod
    def list(self, resource: str) -> Iterator[tuple[str, int]]:
        """Key and stored size in bytes of a resource's own object, if it has one, and of every object below it.

        The slash at the resource's end may be left out; "" is everything. Objects below one resource come together.
        What has no key of the layout is left out.
        """

    @abstractmethod
    def children(self, resource: str) -> Iterator[str]:
        """The names that stand next below a resource, in no promised order: the UIDs of its studies, say."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object if it is there."""

    def delete_many(self, keys: Iterable[str]) -> None:
        """Remove those of the objects that are there."""
        for key in keys:
            self.delete(key)

    def sync(self) -> None:  # noqa: B027  (most have nothing to do)
        """Return when what was put is where no power cut reaches it: at once where an answer says so already."""

    def kept_versions(self, key: str) -> KeptVersions | None:  # noqa: ARG002  # a folder has no versions
        """What is kept of an object that was deleted; None if nothing is."""
        return None

    def seems_new(self, resource: str) -> bool:  # noqa: ARG002
        """Whether a resource may be taken for one that is not there: where requests cost something, until one tells."""
        return self.parallel > 1

    def draft(self, resource: str, stale: str = "") -> Draft | None:  # noqa: ARG002  # buckets cannot rename
        """A draft of a resource that is not there; None if it is, or the store has no drafts.

        `stale` is the version (`drafted`) of a draft whose holder shows no life: it is taken over.

        Raises:
            ClaimLost: if another job makes one.
        """
        return None

    def drafts(self, resource: str) -> Iterator[str]:  # noqa: ARG002
        """The resources that there are drafts of, of this one and those below it: also what a job left that ended."""
        return iter(())

    def drafted(self, resource: str) -> str:  # noqa: ARG002
        """What changes while another job makes a draft of a resource, and lives; empty if none does."""
        return ""

    @abstractmethod
    def below(self, name: str) -> Store:
        """A store of its own within this one, its keys under `name`."""
