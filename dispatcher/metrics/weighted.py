"""A histogram that takes a thousand equal observations as one: a slice has one time, and many people."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import REGISTRY, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry


@dataclass(slots=True)
class _Series:
    counts: list[int]
    total: float = 0.0


@dataclass(slots=True, eq=False)
class WeightedHistogram(Collector):
    """Buckets are upper bounds, ascending. For one event loop: it takes no lock."""

    name: str
    documentation: str
    labels: Sequence[str]
    bounds: Sequence[float]
    registry: CollectorRegistry = REGISTRY
    _series: dict[tuple[str, ...], _Series] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.registry.register(self)

    def observe(self, value: float, times: int, *labels: str) -> None:
        """Count `times` observations of `value`; labels in the order of their names."""
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = _Series([0] * (len(self.bounds) + 1))
        series.counts[bisect_left(self.bounds, value)] += times
        series.total += value * times

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for."""
        family = HistogramMetricFamily(self.name, self.documentation, labels=self.labels)
        names = [*(str(float(bound)) for bound in self.bounds), "+Inf"]
        for labels, series in self._series.items():
            upto = list(zip(names, accumulate(series.counts), strict=True))
            family.add_metric(labels, upto, series.total)
        yield family
