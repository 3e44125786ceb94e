"""Encryption and its verification, against real servers behind real TLS: what does not match is a reason of its own."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from observability.connect import Target, Tls
from observability.connect.target import TlsMode
from observability.lab.pairs import PostgresPair, RedisPair
from observability.lab.ports import HOST
from tests.live.core.conftest import Scraping, http_target, postgres_target, redis_target
from tests.live.core.servers import http, listening
from tests.live.core.tls_front import TlsFront


class Certificate(NamedTuple):
    """A self-signed certificate, which is its own authority, and its key."""

    file: Path
    key: Path

    @property
    def context(self) -> ssl.SSLContext:
        """What a server with this certificate uses."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.file, self.key)
        return made


def certificate(folder: Path, name: str) -> Certificate:
    """A certificate for a host."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{name}",
            "-out", str(made.file), "-keyout", str(made.key),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The certificate of this machine's address."""
    return certificate(tmp_path_factory.mktemp("ours"), HOST)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A right certificate of another address."""
    return certificate(tmp_path_factory.mktemp("others"), "192.0.2.1")


@pytest.fixture
def authorities(ours: Certificate, others: Certificate) -> dict[str | None, Path | None]:
    """What a client may trust."""
    return {"ours": ours.file, "others": others.file, None: None}


@pytest.fixture
async def encrypted(
    postgres: PostgresPair, redis: RedisPair, ours: Certificate, others: Certificate
) -> AsyncIterator[dict[str, Target]]:
    """PostgreSQL, Redis and a web server behind TLS, as ourselves and as somebody else."""
    made: dict[str, Target] = {}
    async with AsyncExitStack() as stack:
        web = await stack.enter_async_context(listening(http()))
        for name, shown in (("", ours.context), (" of another", others.context)):
            pg, rd, site = [
                stack.enter_context(TlsFront(port, shown, asks_first=asks_first)).port
                for port, asks_first in ((postgres.primary.port, True), (redis.primary.port, False), (web, False))
            ]
            made |= {
                f"pg{name}": postgres_target(postgres.primary, port=pg),
                f"redis{name}": redis_target(redis.primary, port=rd),
                f"web{name}": http_target(site, url=f"https://{HOST}:{site}/"),
            }
        yield made


CASES: dict[str, tuple[TlsMode, str | None, str, str]] = {
    "encrypting is not verifying": ("require", None, "ok", "ok"),
    "an authority is for verifying, as with libpq": ("require", "ours", "ok", "tls"),
    "another authority": ("verify-ca", "ours", "ok", "tls"),
    "the name does not count": ("verify-ca", "others", "tls", "ok"),
    "all is right": ("verify-full", "ours", "ok", "tls"),
    "another name": ("verify-full", "others", "tls", "tls"),
    "an authority that nobody knows": ("verify-full", None, "tls", "tls"),
}


@pytest.mark.parametrize("case", CASES)
async def test_certificates(
    case: str, scraping: Scraping, encrypted: dict[str, Target], authorities: dict[str | None, Path | None]
) -> None:
    """What each sslmode makes of our certificate and of another's, for every kind of target alike."""
    mode, authority, ours_is, others_is = CASES[case]
    tls = Tls(mode, ca_file=authorities[authority])
    page = await scraping(*(replace(target, name=name, tls=tls) for name, target in encrypted.items()))()
    expected = {name: others_is if name.endswith("another") else ours_is for name in encrypted}
    assert {name: page.state(name) for name in encrypted} == expected


async def test_encryption_that_does_not_match(
    scraping: Scraping, encrypted: dict[str, Target], postgres: PostgresPair, redis: RedisPair
) -> None:
    """Encrypting to a server that does not, and not to one that does."""
    require, plain = Tls("require"), Tls("disable")
    page = await scraping(
        postgres_target(postgres.primary, name="pg clear", tls=require),
        redis_target(redis.primary, name="redis clear", tls=require),
        replace(encrypted["pg"], name="pg preferred", tls=Tls("prefer")),
        replace(encrypted["redis"], name="redis encrypted", tls=plain),
        http_target(encrypted["web"].port, name="web encrypted"),
    )()
    found = {name: page.state(name) for name in ("pg clear", "redis clear", "pg preferred", "redis encrypted", "web encrypted")}  # fmt: skip
    assert found == {
        "pg clear": "tls",
        "redis clear": "hung",  # it waits for the end of a command: nothing tells it from a frozen server
        "pg preferred": "ok",
        "redis encrypted": "closed",
        "web encrypted": "closed",
    }


async def test_files_that_cannot_be_used(scraping: Scraping, encrypted: dict[str, Target], tmp_path: Path) -> None:
    """A missing or broken authority is found before anything is sent."""
    (tmp_path / "broken").write_text("no certificate")
    targets = [
        replace(encrypted[name], name=f"{name} {file}", tls=Tls("verify-full", ca_file=tmp_path / file))
        for name in ("pg", "redis", "web")
        for file in ("nothing", "broken")
    ]
    page = await scraping(*targets)()
    assert {page.state(target.name) for target in targets} == {"tls"}
