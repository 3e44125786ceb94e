"""What a right configuration becomes: from a file, from the environment, from both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from observability.connect import Target, Tls
from observability.settings import Settings, load


def loaded(text: str, path: Path, env: dict[str, str] | None = None) -> Settings:
    """The settings of a file with this text."""
    file = path / "c.yaml"
    file.write_text(text)
    return load(file, env or {})


def told(target: Target) -> dict[str, Any]:
    """The parts of a target that differ from the defaults, the password revealed."""
    usual = Target(name="", system="", cluster="")
    names = [name for name in Target.__slots__ if name != "password"]
    parts = {name: getattr(target, name) for name in names if getattr(target, name) != getattr(usual, name)}
    password = target.password.reveal()
    return parts if password is None else parts | {"password": password}


def test_file(tmp_path: Path) -> None:
    """Every key of a target, in a file."""
    (tmp_path / "pg").write_text("from file\n")
    (tmp_path / "ca.pem").touch()
    settings = loaded(
        """
listen: 0.0.0.0:1
cluster: demo
targets:
  - {name: pg-1, url: "postgresql://mon@db-1:6432/app?sslmode=verify-ca", password_file: pg, zone: a, timeout_seconds: 1.5}
  - {url: "redis://:p%40ss@r/2", cluster: other}
  - {url: "rediss://user@r:7000", tls: {ca_file: ca.pem}, password: inline}
  - {name: web, url: "http://u:p@h:8001/healthz", expect_status: [200, 204]}
  - {url: "https://h/x", tls: {mode: require}}
""",
        tmp_path,
    )
    assert (settings.listen, settings.cluster) == ("0.0.0.0:1", "demo")
    assert [told(target) for target in settings.all_targets()] == [
        {
            "name": "pg-1",
            "system": "postgres",
            "cluster": "demo",
            "host": "db-1",
            "port": 6432,
            "database": "app",
            "user": "mon",
            "password": "from file",
            "zone": "a",
            "tls": Tls("verify-ca"),
            "timeout_seconds": 1.5,
        },
        {"name": "r", "system": "redis", "cluster": "other", "host": "r", "database": "2", "password": "p@ss"},
        {
            "name": "r:7000",
            "system": "redis",
            "cluster": "demo",
            "host": "r",
            "port": 7000,
            "user": "user",
            "password": "inline",
            "tls": Tls("verify-full", ca_file=tmp_path / "ca.pem"),
        },
        {
            "name": "web",
            "system": "http",
            "cluster": "demo",
            "host": "h",
            "port": 8001,
            "user": "u",
            "password": "p",
            "url": "http://h:8001/healthz",
            "expect_status": frozenset({200, 204}),
        },
        {"name": "h", "system": "http", "cluster": "demo", "host": "h", "url": "https://h/x", "tls": Tls("require")},
    ]


def test_encrypted_schemes_verify_unless_told_otherwise(tmp_path: Path) -> None:
    """`https` and `rediss` verify the certificate; PostgreSQL prefers to encrypt, as libpq does."""
    text = "targets: [{url: 'https://a'}, {url: 'rediss://b'}, {url: 'postgresql://c'}]"
    modes = [target.tls.mode for target in loaded(text, tmp_path).all_targets()]
    assert modes == ["verify-full", "verify-full", "prefer"]


def test_variables_in_a_file(tmp_path: Path) -> None:
    """`${VAR}` and `${VAR:-default}` are filled in anywhere in a value; what they hold is not read as YAML."""
    text = "cluster: ${A}-${B:-b}\ntargets: [{url: 'redis://${H}:6379', password: '${P}', timeout_seconds: '${T:-3}'}]"
    settings = loaded(text, tmp_path, {"A": "{x: y}", "H": "host", "P": "${A} 'quoted"})
    (target,) = settings.all_targets()
    assert (settings.cluster, told(target)) == (
        "{x: y}-b",
        {
            "name": "host:6379",
            "system": "redis",
            "cluster": "{x: y}-b",
            "host": "host",
            "port": 6379,
            "password": "${A} 'quoted",
            "timeout_seconds": 3.0,
        },
    )


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    """`HA_*` variables replace what the file says, key by key; empty ones do not count."""
    settings = loaded(
        "listen: h:1\ncluster: file\nfailover: {mode: 'off', listen: 'h:2'}\ntargets: [{url: redis://file}]",
        tmp_path,
        {"HA_LISTEN": "h:3", "HA_CLUSTER": "", "HA_FAILOVER__LISTEN": "h:4", "HA_TARGETS": "redis://one redis://two"},
    )
    names = [target.name for target in settings.all_targets()]
    assert (settings.listen, settings.cluster, settings.failover.listen) == ("h:3", "file", "h:4")
    assert (str(settings.failover.mode), names) == ("off", ["one", "two"])


def test_environment_of_the_process_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the environment that is passed in counts."""
    monkeypatch.setenv("HA_LISTEN", "h:3")
    monkeypatch.setenv("PGHOST", "h")
    settings = loaded("cluster: c", tmp_path)
    assert (settings.listen, settings.all_targets()) == ("127.0.0.1:9942", [])


POSTGRES = {"system": "postgres", "cluster": "default"}
REDIS = {"system": "redis", "cluster": "default"}


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"HA_CLUSTER": "c", "UNRELATED": "x"}, [], id="nothing to watch"),
        pytest.param(
            {"HA_CLUSTER": "c", "HA_TARGETS": "postgresql://a redis://b"},
            [
                {"name": "a", "host": "a", "system": "postgres", "cluster": "c"},
                {"name": "b", "host": "b", "system": "redis", "cluster": "c"},
            ],
            id="HA_TARGETS",
        ),
        pytest.param(
            {"PGHOST": "db", "PGPORT": "6432", "PGUSER": "mon", "PGDATABASE": "app", "PGPASSWORD": "a/b@c"},
            [POSTGRES | {"name": "db:6432", "host": "db", "port": 6432, "user": "mon", "database": "app", "password": "a/b@c"}],
            id="libpq",
        ),
        pytest.param(
            {"PGHOST": "a,b", "PGPORT": "1,2"},
            [POSTGRES | {"name": "a:1", "host": "a", "port": 1}, POSTGRES | {"name": "b:2", "host": "b", "port": 2}],
            id="several hosts of libpq",
        ),
        pytest.param(
            {"PGHOST": "a,b", "PGPORT": "7"},
            [POSTGRES | {"name": "a:7", "host": "a", "port": 7}, POSTGRES | {"name": "b:7", "host": "b", "port": 7}],
            id="one port for all hosts",
        ),
        pytest.param({"PGHOST": "::1"}, [POSTGRES | {"name": "::1", "host": "::1"}], id="IPv6 address"),
        pytest.param(
            {"PGHOST": "a", "PGSSLMODE": "require"},
            [POSTGRES | {"name": "a", "host": "a", "tls": Tls("require")}],
            id="libpq's sslmode",
        ),
        pytest.param(
            {"POSTGRES_USER": "u", "POSTGRES_PASSWORD": "p", "POSTGRES_DB": "d"},
            [POSTGRES | {"name": "localhost", "user": "u", "password": "p", "database": "d"}],
            id="the official image's variables",
        ),
        pytest.param(
            {"DATABASE_URL": "postgresql+asyncpg://u:p@db/d", "PGHOST": "ignored"},
            [POSTGRES | {"name": "db", "host": "db", "user": "u", "password": "p", "database": "d"}],
            id="a whole URL wins",
        ),
        pytest.param({"DATABASE_URL": "mysql://u:p@db/d"}, [], id="another database"),
        pytest.param(
            {"REDIS_HOST": "r", "REDIS_PORT": "7000", "REDIS_PASSWORD": "p", "REDIS_DB": "3", "REDIS_USERNAME": "u"},
            [REDIS | {"name": "r:7000", "host": "r", "port": 7000, "password": "p", "database": "3", "user": "u"}],
            id="redis",
        ),
        pytest.param(
            {"REDIS_URL": "redis://:p@r:7000/3"},
            [REDIS | {"name": "r:7000", "host": "r", "port": 7000, "password": "p", "database": "3"}],
            id="redis by URL",
        ),
        pytest.param(
            {"PGHOST": "db", "REDIS_HOST": "r"},
            [POSTGRES | {"name": "db", "host": "db"}, REDIS | {"name": "r", "host": "r"}],
            id="both",
        ),
    ],
)  # fmt: skip
def test_environment_alone(env: dict[str, str], expected: list[dict[str, Any]]) -> None:
    """Without a file the environment says what to watch, in the variables that people have already."""
    found = [told(target) for target in load(None, env).all_targets()]
    assert [dict(each) | ({} if "host" in each else {"host": "localhost"}) for each in expected] == [
        {"host": "localhost"} | each for each in found
    ]


def test_password_file_of_the_environment(tmp_path: Path) -> None:
    """A password file wins over a password, and is read at each use."""
    file = tmp_path / "secret"
    file.write_text("old")
    (target,) = load(None, {"PGHOST": "h", "POSTGRES_PASSWORD_FILE": str(file), "PGPASSWORD": "x"}).all_targets()
    file.write_text("new\n")
    assert target.password.reveal() == "new"


def test_a_file_with_targets_leaves_the_environment_alone(tmp_path: Path) -> None:
    """Where the file names targets, libpq's variables add none."""
    settings = loaded("targets: [{url: redis://a}]", tmp_path, {"PGHOST": "h", "REDIS_HOST": "r"})
    assert [target.name for target in settings.all_targets()] == ["a"]


def test_no_repr_tells_a_secret(tmp_path: Path) -> None:
    """Settings and targets can be logged."""
    (tmp_path / "file").write_text("hunter2")
    text = """
targets:
  - {url: "postgresql://u:hunter2@a"}
  - {url: "redis://b", password: hunter2}
  - {url: "redis://c", password_file: file}
  - {url: "http://u:hunter2@d/"}
failover: {token: hunter2, state_url: "postgresql+asyncpg://u:hunter2@h/db"}
"""
    settings = loaded(text, tmp_path)
    shown = f"{settings!r} {settings} {settings.all_targets()!r} {[t.address for t in settings.all_targets()]}"
    assert "hunter2" not in shown
