"""What requests and storage cost at list prices. One table, with its date and source: prices change, so check them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from stillframe.store.s3 import LARGE_BYTES
from stillframe.store.s3_parts import PART_BYTES

_GB: Final = 1 << 30  # what S3 bills as a GB


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests to a store by what they cost: `put` and its like (COPY, POST), `list`, `get` (and HEAD), `delete`."""

    put: int = 0
    list: int = 0
    get: int = 0
    delete: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """List prices in `currency`: of a GB-month by how much is stored, and of a thousand requests.

    `storage` are the tiers: up to how many GB each reaches, and the price of a GB-month within it.
    """

    store: str
    date: str
    source: str
    currency: str
    storage: tuple[tuple[float, float], ...]
    thousand_puts: float
    thousand_gets: float

    def storage_month(self, size: int) -> float:
        """The price of holding `size` bytes for a month."""
        left, start, price = size / _GB, 0.0, 0.0
        for end, rate in self.storage:
            within = min(left, end - start)
            price += within * rate
            left, start = left - within, end
        return price

    def requests(self, requests: Requests) -> float:
        """The price of requests; deleting is free."""
        return ((requests.put + requests.list) * self.thousand_puts + requests.get * self.thousand_gets) / 1000


S3_STANDARD: Final = Prices(
    store="Amazon S3 Standard, us-east-1",
    date="2025",
    source="https://aws.amazon.com/s3/pricing/",
    currency="USD",
    storage=((50 * 1024, 0.023), (500 * 1024, 0.022), (float("inf"), 0.021)),
    thousand_puts=0.005,  # PUT, COPY, POST, LIST
    thousand_gets=0.0004,  # GET, SELECT and all others
)


def requests_of_put(size: float) -> int:
    """How many requests putting an object takes: one, or in parts one each with one before and one after."""
    return 2 + math.ceil(size / PART_BYTES) if size > LARGE_BYTES else 1
