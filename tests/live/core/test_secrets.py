"""No password is told to anybody but the server that it is for: not on a page, in a log, an error or a process list."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from observability.lab.pairs import PostgresPair, RedisPair
from observability.lab.ports import HOST, free_port
from observability.lab.postgres import MONITOR
from tests.live.core.running import ROOT, exporter

WRONG = "wr0ng-S3cret"
PAGES = ("/", "/metrics", "/probe", "/probe?target=nobody", "/nothing", "/-/ready")


def targets(
    postgres: PostgresPair, redis: RedisPair, folder: Path
) -> tuple[list[dict[str, Any]], dict[str, str], set[str]]:
    """Targets with passwords given in each way, right and wrong; the environment they need; and the secrets."""
    pg, rd = postgres.primary, redis.primary
    (folder / "right").write_text(pg.password())
    (folder / "wrong").write_text(f"{WRONG}-file\n")
    place = f"{HOST}:{pg.port}/postgres"
    found: list[dict[str, Any]] = []
    for which, password in (("right", pg.password()), ("wrong", WRONG)):
        found += [
            {"name": f"pg-url-{which}", "url": f"postgresql://{MONITOR}:{password}@{place}"},
            {"name": f"pg-key-{which}", "url": f"postgresql://{MONITOR}@{place}", "password": password},
            {
                "name": f"pg-file-{which}",
                "url": f"postgresql://{MONITOR}@{place}",
                "password_file": str(folder / which),
            },
            {
                "name": f"pg-env-{which}",
                "url": f"postgresql://{MONITOR}@{place}",
                "password": f"${{PG_{which.upper()}}}",
            },
        ]
    for which, password in (("right", rd.password), ("wrong", f"{WRONG}-redis")):
        found += [
            {"name": f"redis-url-{which}", "url": f"redis://:{password}@{HOST}:{rd.port}/0"},
            {
                "name": f"redis-env-{which}",
                "url": f"redis://{HOST}:{rd.port}/0",
                "password": f"${{REDIS_{which.upper()}}}",
            },
        ]
    refusing = free_port()
    found += [
        {"name": "web", "url": f"http://user:{WRONG}-web@{HOST}:{rd.port}/x"},
        {"name": "web-refused", "url": f"http://user:{WRONG}-web@{HOST}:{refusing}/x"},
        {"name": "pg-refused", "url": f"postgresql://u:{WRONG}@{HOST}:{refusing}/db?sslmode=require"},
        {"name": "redis-at-pg", "url": f"redis://:{WRONG}@{place.split('/', maxsplit=1)[0]}"},
        {"name": "pg-at-redis", "url": f"postgresql://u:{WRONG}@{HOST}:{rd.port}/", "tls": {"mode": "disable"}},
    ]  # fmt: skip
    env = {"PG_RIGHT": pg.password(), "PG_WRONG": WRONG, "REDIS_RIGHT": rd.password, "REDIS_WRONG": f"{WRONG}-redis"}
    for target in found:
        target |= {"cluster": target["name"], "timeout_seconds": 1}
    return found, env, {pg.password(), rd.password, WRONG}


def command_lines() -> Iterator[str]:
    """What everybody on this machine can read about our own processes."""
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        try:
            yield " ".join(process.cmdline())
        except psutil.Error:
            continue


def test_running_exporter_tells_no_secret(postgres: PostgresPair, redis: RedisPair, tmp_path: Path) -> None:
    """Pages, explanations of every target, logs at debug level and command lines, with right and wrong passwords."""
    configured, env, secrets = targets(postgres, redis, tmp_path)
    with exporter(tmp_path, configured, env) as process:
        pages = [process.get(path).text for path in PAGES]
        names = [target["name"] for target in configured]
        with ThreadPoolExecutor(8) as pool:
            looks = pool.map(lambda name: process.get(f"/probe?target={name}&debug=1").text, names)
            explained = dict(zip(names, looks, strict=True))
        page = process.scrape()
        listed = list(command_lines())
    right = {name for name in explained if name.endswith("right")}
    assert {name for name in explained if page.state(name) == "ok"} == right
    assert {page.state(name) for name in explained if name.endswith("wrong")} == {"auth"}
    told = {"log": process.log.read_text(), "processes": "\n".join(listed), "pages": "\n".join(pages)} | explained
    assert [(where, secret) for where, text in told.items() for secret in secrets if secret in text] == []


@pytest.mark.parametrize("broken", [False, True], ids=["right", "wrong"])
def test_check_config_tells_no_secret(broken: bool, postgres: PostgresPair, redis: RedisPair, tmp_path: Path) -> None:
    """What is said about a configuration, right or wrong, names no password of it."""
    configured, env, secrets = targets(postgres, redis, tmp_path)
    config = tmp_path / "c.yaml"
    mistakes = {"listn": "x", "cluster": 5} if broken else {}
    if broken:
        configured = [
            target | {"pasword": WRONG, "url": target["url"].replace("://", "://x:y@z@", 1)} for target in configured
        ]
    config.write_text(yaml.safe_dump({"targets": configured} | mistakes))
    ended = subprocess.run(
        [sys.executable, "-m", "observability", "check-config", str(config)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == (2 if broken else 0), ended.stderr
    assert [secret for secret in secrets if secret in ended.stdout + ended.stderr] == []
