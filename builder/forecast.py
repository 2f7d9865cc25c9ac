"""What a build would do: inputs by what would become of them, objects and bytes by kind, requests and their price."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from builder.estimate import Tally
from builder.layout import Kind
from builder.prices import Prices, Requests
from builder.prospect import Prospect


@dataclass(slots=True)
class Sample:
    """What the estimate rests on: instances and frames that were made, instances that would be rejected of these."""

    instances: int = 0
    frames: int = 0
    rejected: int = 0


@dataclass(slots=True)
class Forecast:
    """Filled in while a build is rehearsed. `objects` are those that would be written, their sizes as stored.

    `requests` and `prices` count where the destination is an object store; `prices` is None where it is not.
    """

    prospects: Counter[Prospect] = field(default_factory=Counter)
    objects: dict[Kind, Tally] = field(default_factory=dict)
    sample: Sample = field(default_factory=Sample)
    requests: Requests = field(default_factory=Requests)
    prices: Prices | None = None
    studies: int = 0
    series: int = 0
    frames: int = 0
    bytes_read: int = 0

    @property
    def total(self) -> Tally:
        """All objects and their bytes."""
        return sum(self.objects.values(), Tally())

    def count(self, kind: Kind) -> int:
        """The objects of a kind."""
        return round(self.objects.get(kind, Tally()).objects)

    def size(self, kind: Kind) -> int:
        """The bytes of a kind's objects."""
        return round(self.objects.get(kind, Tally()).size)

    @property
    def build_price(self) -> float:
        """What the requests of the build cost; 0 where nothing is billed."""
        return self.prices.requests(self.requests) if self.prices else 0.0

    @property
    def month_price(self) -> float:
        """What holding the objects that would be written costs a month; 0 where nothing is billed."""
        return self.prices.storage_month(round(self.total.size)) if self.prices else 0.0

    def as_json(self) -> dict[str, Any]:
        """The forecast as reports have it; `docs/reference/report.md` describes it."""
        total = self.total
        return {
            "inputs": {str(prospect): self.prospects[prospect] for prospect in Prospect},
            "studies": self.studies,
            "series": self.series,
            "frames": self.frames,
            "bytesRead": self.bytes_read,
            "objects": {
                str(kind): {"count": self.count(kind), "bytes": self.size(kind)} for kind in Kind if self.count(kind)
            },
            "total": {"count": round(total.objects), "bytes": round(total.size)},
            "sample": {
                "instances": self.sample.instances, "frames": self.sample.frames, "rejected": self.sample.rejected,
            },
            **({"cost": self._cost(self.prices)} if self.prices else {}),
        }  # fmt: skip

    def _cost(self, prices: Prices) -> dict[str, Any]:
        requests = self.requests
        return {
            "requests": {
                "put": requests.put, "list": requests.list, "get": requests.get, "delete": requests.delete,
            },
            "build": round(self.build_price, 6),
            "storageMonth": round(self.month_price, 6),
            "prices": prices.as_json(),
        }  # fmt: skip
