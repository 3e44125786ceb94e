"""
What a metric is: its declaration, its samples, and the rules for its name.

A metric is declared once, as a `Metric`, beside the code that produces it. Its OpenTelemetry name and unit are the
source; the Prometheus name is derived by the standard translation, so that a series has one name on both roads
(https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/). Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from observability.errors import DeclarationError

Kind: TypeAlias = Literal["counter", "updowncounter", "gauge", "histogram"]
Across: TypeAlias = Literal["sum", "max", "min", "each"]

TARGET_LABELS = ("cluster", "server", "zone")
"""Labels that every sample of a probed target carries; no metric declares them itself."""

WORKER_LABEL = "worker"
"""Label of a sample that each worker of a server has for itself; no metric declares it itself."""

RESERVED_LABELS = frozenset({"le", "quantile", "job", "instance", "otel_scope_name", WORKER_LABEL, *TARGET_LABELS})

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*(\.[a-z][a-z0-9]*(_[a-z0-9]+)*)+")
_LABEL = re.compile(r"[a-z][a-z0-9]*([._][a-z0-9]+)*")
_ANNOTATION = re.compile(r"\{[^{}]*\}")
_UNITS = {"": "", "s": "seconds", "ms": "milliseconds", "By": "bytes", "%": "percent", "1": ""}
_PER = {"s": "second"}
_SPELLED_UNITS = frozenset({"second", "seconds", "milliseconds", "bytes", "per", "ratio", "percent", "total"})


@dataclass(frozen=True, slots=True)
class Histogram:
    """
    The value of a histogram sample.

    `counts` has one number for each bound of the metric and one more for +Inf; they are not cumulative.
    """

    counts: Sequence[int]
    sum: float

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self.counts)


Value: TypeAlias = float | Histogram


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Metric:
    """
    The declaration of a metric.

    Args:
        name: OpenTelemetry name, dotted, without unit (`ha.postgres.replication.lag`).
        kind: OpenTelemetry instrument; `updowncounter` and `gauge` are both gauges to Prometheus.
        help: one full sentence that a person on call understands.
        unit: UCUM unit (`s`, `By`, `1` for a ratio), an annotation (`{connection}`), or empty for a flag.
        labels: attribute keys of a sample, in alphabetical order, which is also that of its label values and of the
            exposition; never taken from data.
        buckets: upper bounds of a histogram, increasing, without +Inf.
        compat: the name under which a well-known exporter publishes the same quantity.
        across_workers: what several workers of one server tell together: the sum of their values, the largest, the
            smallest, or each its own. Only a gauge has a choice, and gives each if it makes none; the rest is summed.

    Raises:
        DeclarationError: when a name, unit, label or help text breaks the rules.

    """

    name: str
    kind: Kind
    help: str
    unit: str = ""
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    compat: str | None = None
    across_workers: Across | None = None
    prometheus_name: str = field(init=False)
    prometheus_labels: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise DeclarationError(f"metric {self.name!r}: {problem}")
        if self.across_workers is None:
            object.__setattr__(self, "across_workers", "each" if self.kind == "gauge" else "sum")
        object.__setattr__(self, "prometheus_name", prometheus_name(self.name, self.unit, self.kind))
        object.__setattr__(self, "prometheus_labels", tuple(label.replace(".", "_") for label in self.labels))

    def sample(self, value: Value, *labels: str) -> Sample:
        """A measurement of this metric; `labels` are the values of its declared labels, in their order."""
        if len(labels) != len(self.labels):
            raise DeclarationError(f"metric {self.name!r} has labels {self.labels}, got values {labels}")
        return Sample(self, value, labels)

    def known(self, value: float | None, *labels: str) -> tuple[Sample, ...]:
        """The sample if there is a value, else nothing: an unknown value is an absent sample, never 0."""
        return () if value is None else (self.sample(value, *labels),)

    def states(self, current: str, states: Sequence[str], *labels: str) -> tuple[Sample, ...]:
        """One sample for each state, 1 for the current one and 0 for the others; the state is the last label."""
        return tuple(self.sample(float(state == current), *labels, state) for state in states)


class Sample(NamedTuple):
    """A measurement: label values stand in the order of the metric's labels."""

    metric: Metric
    value: Value
    labels: tuple[str, ...] = ()


class Batch(NamedTuple):
    """
    Samples that were taken together and share attributes (`cluster`, `server`, `zone`).

    `since` is when their counters began, in seconds since the epoch, or None where nobody knows.
    """

    attributes: tuple[tuple[str, str], ...]
    samples: Sequence[Sample]
    since: float | None = None


def prometheus_name(name: str, unit: str, kind: Kind) -> str:
    """The name that the standard OpenTelemetry-to-Prometheus translation gives to a metric."""
    words = [word for word in re.split(r"[^a-zA-Z0-9]+", name) if word]
    suffix = prometheus_unit(unit)
    words += [word for word in suffix.split("_") if word and word not in words]
    if unit == "1" and kind == "gauge":
        words = [word for word in words if word != "ratio"] + ["ratio"]
    if kind == "counter":
        words = [word for word in words if word != "total"] + ["total"]
    return "_".join(words)


def prometheus_unit(unit: str) -> str:
    """`By` → `bytes`, `By/s` → `bytes_per_second`, `{connection}` → nothing, `{request}/s` → `per_second`."""
    main, _, per = _ANNOTATION.sub("", unit).partition("/")
    return f"{_UNITS[main]}_per_{_PER[per]}".lstrip("_") if per else _UNITS[main]


def _problem(metric: Metric) -> str | None:
    """The first rule that the declaration breaks, as a sentence."""
    return _name_problem(metric) or _label_problem(metric) or _bucket_problem(metric) or _across_problem(metric)


def _name_problem(metric: Metric) -> str | None:
    if not _NAME.fullmatch(metric.name):
        return "names are dotted words in lower case, such as ha.postgres.replication.lag"
    if metric.kind not in Kind.__args__:  # type: ignore[attr-defined]
        return f"kind must be one of {Kind.__args__}, not {metric.kind!r}"  # type: ignore[attr-defined]
    if spelled := _SPELLED_UNITS.intersection(re.split(r"[._]", metric.name)):
        return f"the unit belongs in unit=, not in the name ({', '.join(sorted(spelled))})"
    main, _, per = _ANNOTATION.sub("", metric.unit).partition("/")
    if main not in _UNITS or (per and per not in _PER):
        return (
            f"unit {metric.unit!r} is not a base unit: use s, By, 1, an annotation such as {{connection}}, or nothing"
        )
    if metric.unit in {"ms", "%"}:
        return "use base units: s instead of ms, 1 instead of %"
    if not (metric.help[:1].isupper() or metric.help[:1].isdigit()) or not metric.help.endswith("."):
        return "help must be a full sentence: it begins with a capital letter or a digit and ends with a full stop"
    return None


def _label_problem(metric: Metric) -> str | None:
    written = [label.replace(".", "_") for label in metric.labels]
    if len(set(written)) != len(written):
        return "a label is declared twice"
    if written != sorted(written):
        return "labels must be declared in alphabetical order, as they are written"
    for label in metric.labels:
        if not _LABEL.fullmatch(label):
            return f"label {label!r} is not a dotted lower-case name"
        if label.replace(".", "_") in RESERVED_LABELS:
            return f"label {label!r} is reserved: it is added by the scrape or by Prometheus"
    return None


def _bucket_problem(metric: Metric) -> str | None:
    if (metric.kind == "histogram") != bool(metric.buckets):
        return "a histogram, and only a histogram, needs buckets"
    if list(metric.buckets) != sorted(set(metric.buckets)) or float("inf") in metric.buckets:
        return "buckets must increase and leave out +Inf"
    return None


def _across_problem(metric: Metric) -> str | None:
    if metric.across_workers not in (None, *Across.__args__):  # type: ignore[attr-defined]
        return f"across_workers must be one of {Across.__args__}, not {metric.across_workers!r}"  # type: ignore[attr-defined]
    if metric.kind != "gauge" and metric.across_workers not in {None, "sum"}:
        return f"a {metric.kind} is summed across workers; only a gauge has a choice"
    return None
