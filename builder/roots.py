"""Which service root a study is published under: one for all, or an unguessable one for each."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from builder.store import Store

MIN_SECRET_BYTES: Final = 16
_TOKEN_BYTES: Final = 20  # 160 bits: 32 characters of base32


def root_token(secret: bytes, study: str) -> str:
    """The name of a study's own root: HMAC-SHA-256 of its UID under the secret, so that a rerun finds it again."""
    digest = hmac.digest(secret, study.encode("ascii"), hashlib.sha256)
    return base64.b32encode(digest[:_TOKEN_BYTES]).decode("ascii").lower()


@dataclass(frozen=True, slots=True)
class Roots:
    """The roots within a store; all studies share one where there is no secret."""

    store: Store
    secret: bytes = b""

    def name(self, study: str) -> str:
        """The study's root within the store; empty if it is the store's own."""
        return root_token(self.secret, study) if self.secret else ""

    def of(self, study: str) -> Store:
        """The store that is the study's root."""
        return self.store.below(self.name(study)) if self.secret else self.store

    def grouped(self, studies: Iterable[str]) -> Iterator[tuple[Store, list[str]]]:
        """Each root with its studies, those of one list of studies together."""
        if not self.secret:
            yield self.store, sorted(studies)
            return
        for study in sorted(studies):
            yield self.of(study), [study]
