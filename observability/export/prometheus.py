"""
Samples as Prometheus reads them: a fast writer of the text formats, and a collector for prometheus_client's registries.

The writer fills one template per metric and set of attributes instead of validating and escaping each name at each
scrape; its output equals prometheus_client's (https://prometheus.io/docs/instrumenting/exposition_formats/).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

from observability.metrics import Batch, Histogram, Metric, Value, prometheus_unit

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Source: TypeAlias = Callable[[], Iterable[Batch]]
Attributes: TypeAlias = tuple[tuple[str, str], ...]
_KNOWN_SERIES = 8_192
_A_MILLION = 1_000_000

Series: TypeAlias = tuple[Attributes, tuple[str, ...]]


def render(batches: Iterable[Batch], *, openmetrics: bool = False) -> bytes:
    """
    The exposition of `batches`, families in the order of their first sample.

    The first of several samples with the same name and labels is kept: a duplicate never costs the whole page.
    """
    families: defaultdict[Metric, dict[str, str]] = defaultdict(dict)
    for attributes, samples, _ in batches:
        known = _known_series(attributes)
        last = None
        for metric, value, labels in samples:
            if metric is not last:
                last, lines, written = metric, families[metric], known[metric]
            if isinstance(value, Histogram):
                _write_histogram(lines, metric, value, labels, attributes)
                continue
            series = written.get(labels) or _new_series(written, metric, attributes, labels)
            if series not in lines:
                lines[series] = f"{series} {number(value)}\n"
    parts: list[str] = []
    for metric, lines in families.items():
        parts.append(_header(metric, openmetrics))
        parts.extend(lines.values())
    if openmetrics:
        parts.append("# EOF\n")
    return "".join(parts).encode(errors="replace")


class SampleCollector:
    """
    A collector for a prometheus_client registry: `registry.register(SampleCollector(source, metrics))`.

    `describe` answers from the declarations, so registration asks no target, and duplicate names are found at once.
    """

    def __init__(self, source: Source, metrics: Sequence[Metric]) -> None:
        self._source = source
        self._metrics = metrics

    def describe(self) -> Iterator[Family]:
        """The declared families, empty."""
        return (_family(metric, {}) for metric in self._metrics)

    def collect(self) -> Iterator[Family]:
        """The families with the samples that the source has now."""
        grouped: dict[Metric, dict[Series, Value]] = {}
        for batch in self._source():
            for metric, value, labels in batch.samples:
                grouped.setdefault(metric, {}).setdefault((batch.attributes, labels), value)
        return (_family(metric, series) for metric, series in grouped.items())


def number(value: float) -> str:
    """A value as Go prints it: the form that Prometheus itself uses."""
    text = repr(float(value))
    if -_A_MILLION < value < _A_MILLION:
        return text
    if text in {"inf", "-inf", "nan"}:
        return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}[text]
    point = text.find(".")
    if value > 0 and point > 6:  # noqa: PLR2004 -- from a million on, Go writes an exponent
        mantissa = f"{text[0]}.{text[1:point]}{text[point + 1 :]}".rstrip("0.")
        return f"{mantissa}e+{point - 1:02d}"
    return text


def _write_histogram(
    lines: dict[str, str], metric: Metric, value: Histogram, labels: Sequence[str], attributes: Attributes
) -> None:
    escaped = tuple(map(_escape, labels))
    buckets, count, total = _histogram_templates(metric, attributes)
    cumulative = list(accumulate(value.counts))
    for template, observed in [*zip(buckets, cumulative, strict=True), (count, cumulative[-1]), (total, value.sum)]:
        series = template % escaped
        lines.setdefault(series, f"{series} {number(observed)}\n")


@lru_cache(maxsize=4_096)
def _known_series(attributes: Attributes) -> defaultdict[Metric, dict[tuple[str, ...], str]]:  # noqa: ARG001 -- the key of the cache
    """`name{...}` of every series that was written under these attributes: most are written at each scrape."""
    return defaultdict(dict)


def _new_series(
    written: dict[tuple[str, ...], str], metric: Metric, attributes: Attributes, labels: tuple[str, ...]
) -> str:
    """Write the series for the first time; labels that change for ever do not grow the memory for ever."""
    if len(written) >= _KNOWN_SERIES:
        written.clear()
    series = written[labels] = _template(metric, attributes) % tuple(map(_escape, labels))
    return series


def _template(metric: Metric, attributes: Attributes, suffix: str = "", le: str | None = None) -> str:
    """`name{cluster="demo",state="%s"}`: label names sorted, values of attributes filled in, values of labels open."""
    pairs = {name.replace(".", "_"): _escape(value).replace("%", "%%") for name, value in attributes}
    pairs |= dict.fromkeys(metric.prometheus_labels, "%s")
    if le is not None:
        pairs["le"] = le
    inside = ",".join(f'{name}="{value}"' for name, value in sorted(pairs.items()))
    return f"{metric.prometheus_name}{suffix}{{{inside}}}" if inside else f"{metric.prometheus_name}{suffix}"


@lru_cache(maxsize=4_096)
def _histogram_templates(metric: Metric, attributes: Attributes) -> tuple[list[str], str, str]:
    bounds = [number(bound) for bound in metric.buckets] + ["+Inf"]
    buckets = [_template(metric, attributes, "_bucket", bound) for bound in bounds]
    return buckets, _template(metric, attributes, "_count"), _template(metric, attributes, "_sum")


@lru_cache(maxsize=4_096)
def _header(metric: Metric, openmetrics: bool) -> str:
    name = metric.prometheus_name
    kind = "gauge" if metric.kind == "updowncounter" else metric.kind
    if not openmetrics:
        text = metric.help.replace("\\", r"\\").replace("\n", r"\n")
        return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
    if kind == "counter":
        name = name.removesuffix("_total")
    unit = _openmetrics_unit(metric, name)
    return f"# HELP {name} {_escape(metric.help)}\n# TYPE {name} {kind}\n" + (f"# UNIT {name} {unit}\n" if unit else "")


def _openmetrics_unit(metric: Metric, name: str) -> str:
    """The unit, which OpenMetrics allows only where the name ends with it."""
    unit = "ratio" if metric.unit == "1" else prometheus_unit(metric.unit)
    return unit if unit and name.endswith(f"_{unit}") else ""


def _escape(value: str) -> str:
    if "\\" in value or "\n" in value or '"' in value:
        return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return value


def _family(metric: Metric, series: Mapping[Series, Value]) -> Family:
    """The same family in prometheus_client's own classes."""
    from prometheus_client import core

    kinds = {"counter": core.CounterMetricFamily, "histogram": core.HistogramMetricFamily}
    base = metric.prometheus_name.removesuffix("_total") if metric.kind == "counter" else metric.prometheus_name
    family: Family = kinds.get(metric.kind, core.GaugeMetricFamily)(
        base, metric.help, unit=_openmetrics_unit(metric, base)
    )
    for (attributes, labels), value in series.items():
        pairs = {name.replace(".", "_"): text for name, text in attributes}
        pairs |= dict(zip(metric.prometheus_labels, labels, strict=True))
        if isinstance(value, Histogram):
            bounds = [number(bound) for bound in metric.buckets] + ["+Inf"]
            cumulative = list(accumulate(value.counts))
            for bound, observed in zip(bounds, cumulative, strict=True):
                family.add_sample(f"{base}_bucket", {**pairs, "le": bound}, observed)
            family.add_sample(f"{base}_count", pairs, cumulative[-1])
            family.add_sample(f"{base}_sum", pairs, value.sum)
        else:
            family.add_sample(metric.prometheus_name, pairs, value)
    return family
