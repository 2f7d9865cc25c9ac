"""Which service root a study is published under: one for all, or an unguessable one for each."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from stillframe.store.base import Store

MIN_SECRET_BYTES: Final = 16
_TOKEN_BYTES: Final = 20  # 160 bits: 32 characters of base32
_TOKEN: Final = re.compile(r"[a-z2-7]{32}")


def root_token(secret: bytes, study: str) -> str:
    """The name of a study's own root: HMAC-SHA-256 of its UID under the secret, so that a rerun finds it again."""
    digest = hmac.digest(secret, study.encode("ascii"), hashlib.sha256)
    return base64.b32encode(digest[:_TOKEN_BYTES]).decode("ascii").lower()


def find_roots(store: Store) -> Iterator[str]:
    """The names of the roots of studies within an archive, in no promised order: no secret is needed to see them."""
    return (name for name in store.children("") if _TOKEN.fullmatch(name))


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

    def base_url(self, study: str, base_url: str) -> str:
        """The public URL of the study's root, where `base_url` is that of the store's own; empty without one."""
        return f"{base_url.rstrip('/')}/{self.name(study)}" if base_url and self.secret else base_url

    def grouped(self, studies: Iterable[str]) -> Iterator[tuple[Store, list[str]]]:
        """Each root with its studies, those of one list of studies together."""
        if not self.secret:
            yield self.store, sorted(studies)
            return
        for study in sorted(studies):
            yield self.of(study), [study]
