"""One name, two roads, all the way: what a collector gets by OTLP is what Prometheus scrapes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from observability.export.prometheus import render
from observability.lab.pairs import PostgresPair, RedisPair
from observability.metrics import Batch, Histogram
from observability.otlp import pushing
from tests.live.core.receiver import Receiver
from tests.live.core.running import exporter
from tests.unit.export.made import COUNTER, GAUGE, LEVEL, STATE, WAITS
from tests.unit.export.roads import pushed, scraped

DEMO = (("cluster", 'demo "1"'), ("server", "pg-1"), ("zone", "é"))
BATCHES = [
    Batch(
        DEMO,
        [
            GAUGE.sample(3.5),
            GAUGE.sample(99),
            STATE.sample(1, "100 %", "o\\k"),
            COUNTER.sample(2**53, "sent"),
            LEVEL.sample(-1, "x"),
            WAITS.sample(Histogram((1, 0, 2, 0, 0, 1), 7.5), "x"),
        ],
        since=1_700_000_000.0,
    ),
    Batch((), [GAUGE.sample(float("inf"))]),
]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Receiver:
    """A collector, named in the environment."""
    made = Receiver()
    for name, value in environment(made.endpoint).items():
        monkeypatch.setenv(name, value)
    return made


def environment(endpoint: str) -> dict[str, str]:
    """The standard variables."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
    }


async def test_collector_gets_what_prometheus_scrapes(receiver: Receiver) -> None:
    """Names, kinds, help, labels, values and buckets are equal on both roads, and every push tells them anew."""

    async def measured(_: float) -> list[Batch]:
        return BATCHES

    with receiver:
        async with pushing(measured):
            requests = [await asyncio.to_thread(receiver.next) for _ in range(2)]
    assert [pushed(request) for request in requests] == [scraped(render(BATCHES))] * 2
    (resource,) = requests[0].resource_metrics
    told = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert told["service.name"] == "ha-observability-exporter"
    assert resource.scope_metrics[0].scope.name == "ha-observability"


async def test_nothing_is_pushed_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an endpoint nothing is measured for OTLP, nor where metrics are switched off."""

    async def never(_: float) -> list[Batch]:
        raise AssertionError("measured")

    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    off = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_METRICS_EXPORTER": "none", "OTEL_METRIC_EXPORT_INTERVAL": "1"}  # fmt: skip
    for env in ({}, off):
        async with pushing(never, env):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("text", ["often", "0", "-1", "nan", "inf"])
async def test_interval_that_is_none(
    text: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An interval that makes no sense is said to be so, and the usual one is taken."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")

    async def measured(_: float) -> list[Batch]:
        return []

    async with pushing(measured, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_METRIC_EXPORT_INTERVAL": text}):  # fmt: skip
        await asyncio.sleep(0)
    assert "OTEL_METRIC_EXPORT_INTERVAL is no positive number" in caplog.text


def test_running_exporter_pushes_and_survives_its_collector(
    postgres: PostgresPair, redis: RedisPair, tmp_path: Path
) -> None:
    """A running exporter pushes the series that it serves; a collector that is gone hurts no scrape, and is found again."""
    targets = [
        {"name": "pg-1", "url": postgres.primary.url(), "password_file": str(postgres.primary.password_file())},
        {"name": "redis-1", "url": redis.primary.url(), "password_file": str(redis.primary.password_file)},
    ]
    first = Receiver()
    with exporter(tmp_path, targets, environment(first.endpoint)) as process:
        with first:
            told = {(point.name, frozenset(point.labels)) for point in pushed(first.next())}
            served = process.scrape().series
            assert told == {(name, frozenset(pair for pair in labels if pair[1])) for name, labels in served}
        for _ in range(5):
            page = process.scrape(timeout=2)
            assert (page.state("pg-1"), page.state("redis-1")) == ("ok", "ok")
        with Receiver(first.port) as second:
            assert len(pushed(second.next())) == len(told)
    assert "Traceback" not in process.log.read_text()
