"""What a build would do: inputs by what would become of them, objects and bytes by kind, requests and their price."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from stillframe.build.decide import WRITTEN, Decision
from stillframe.build.dryrun.estimate import Objects
from stillframe.build.dryrun.prices import Prices, Requests, requests_of_put
from stillframe.layout import Kind

# Documents that a build reads to write the lists of a series and of a study, and to see that they still hold.
_READS_ANEW: Final = 3
_READS_OF_SERIES: Final = 10
_READS_OF_SAME_SERIES: Final = 6
_READS_OF_STUDY: Final = 14
# A dry run reviews by itself, so that it can tell what is unchanged and what would be rebuilt.
_NOT_TOLD: Final = frozenset({Decision.REVIEW})


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a build would do. `objects` are those that would be written, sizes as stored.

    `sample` counts what the estimate rests on: `instances` and `frames` that were made, `rejected` of these instances.
    `examined` are objects of published instances that would be looked at, to be kept, compared or replaced.
    `same_series` are those of `series` whose inputs are all unchanged, `listed_together` those of them that need no
    listing of their own. `prices` are those of the store, None if it costs nothing.
    """

    inputs: Counter[Decision] = field(default_factory=Counter)
    objects: Objects = field(default_factory=Objects)
    sample: Counter[str] = field(default_factory=Counter)
    studies: int = 0
    series: int = 0
    same_series: int = 0
    listed_together: int = 0
    frames: int = 0
    bytes_read: int = 0
    examined: int = 0
    prices: Prices | None = None

    @property
    def requests(self) -> Requests:
        """About how many requests the build sends to a store, by the rules of `docs/reference/report.md`."""
        redrawn = self.inputs[Decision.REDRAW]
        written = sum(self.inputs[decision] for decision in WRITTEN) + redrawn
        again = self.inputs[Decision.REBUILD] + self.inputs[Decision.REPLACE] + redrawn
        count, size = self.objects.count, self.objects.size
        bodies = sum(count[kind] * requests_of_put(size[kind] / count[kind]) for kind in count)
        return Requests(
            put=bodies + written,
            list=1 + self.series - self.listed_together + again,
            get=self.inputs.total()
            + self.examined
            + _READS_ANEW * again
            + _READS_OF_SERIES * (self.series - self.same_series)
            + _READS_OF_SAME_SERIES * self.same_series
            + _READS_OF_STUDY * self.studies,
            delete=again,
        )

    @property
    def build_price(self) -> float:
        """What the requests of the build cost; 0 where nothing is billed."""
        return self.prices.requests(self.requests) if self.prices else 0.0

    @property
    def month_price(self) -> float:
        """What holding the objects that would be written costs a month; 0 where nothing is billed."""
        return self.prices.storage_month(self.objects.size.total()) if self.prices else 0.0

    def as_json(self) -> dict[str, Any]:
        """The forecast as reports have it; `docs/reference/report.md` describes it."""
        count, size = self.objects.count, self.objects.size
        return {
            "inputs": {str(decision): self.inputs[decision] for decision in Decision if decision not in _NOT_TOLD},
            "studies": self.studies,
            "series": self.series,
            "frames": self.frames,
            "bytesRead": self.bytes_read,
            "objects": {str(kind): {"count": count[kind], "bytes": size[kind]} for kind in Kind if count[kind]},
            "total": {"count": count.total(), "bytes": size.total()},
            "sample": {name: self.sample[name] for name in ("instances", "frames", "rejected")},
            **({"cost": self._cost(self.prices)} if self.prices else {}),
        }

    def _cost(self, prices: Prices) -> dict[str, Any]:
        return {
            "requests": asdict(self.requests),
            "build": round(self.build_price, 6),
            "storageMonth": round(self.month_price, 6),
            "prices": {name: getattr(prices, name) for name in ("store", "date", "source", "currency")},
        }
