"""Each mistake in a configuration: a sentence with its place and the way out; all of them at once; never a traceback."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.errors import SettingsError
from observability.settings import load

SCHEMES = "use postgresql://, redis://, rediss://, http:// or https://"
ADDRESS = "is not an address to listen on: write HOST:PORT, such as 127.0.0.1:9942"


def problems(text: str | bytes, path: Path, env: dict[str, str] | None = None) -> list[str]:
    """What is said about a file with this text; the file is called by its bare name."""
    file = path / "c.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError) as raised:
        load(file, env or {})
    return [problem.replace(f"{path}/", "") for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "listn: x", "c.yaml:1: listn: unknown key: did you mean 'listen'?", id="a key that is nearly right"
        ),
        pytest.param(
            "\nxyz: 1", "c.yaml:2: xyz: unknown key: known here: cluster, failover, listen, targets", id="unknown key"
        ),
        pytest.param(
            "targets:\n- url: redis://h\n  tls:\n    ca: x",
            "c.yaml:4: targets.0.tls.ca: unknown key: known here: ca_file, cert_file, key_file, mode",
            id="unknown key deep inside",
        ),
        pytest.param("listen: there", f"c.yaml:1: listen: 'there' {ADDRESS}", id="no address"),
        pytest.param("listen: h:65536", f"c.yaml:1: listen: 'h:65536' {ADDRESS}", id="no port"),
        pytest.param("listen: h:²", f"c.yaml:1: listen: 'h:²' {ADDRESS}", id="digits that are no number"),
        pytest.param("cluster: 7", "c.yaml:1: cluster: it must be text: put it in quotes", id="number for text"),
        pytest.param("cluster:", "c.yaml:1: cluster: it must be text: put it in quotes", id="nothing for text"),
        pytest.param("targets: 5", "c.yaml:1: targets: it must be a list: begin each item with '- '", id="no list"),
        pytest.param(
            "targets:\n- 5", "c.yaml:2: targets.0: it must be a mapping of keys and values", id="number for a target"
        ),
        pytest.param(
            "targets:\n- name: a",
            "c.yaml:2: targets.0.url: it is required: postgresql://, redis://, rediss://, http:// or https:// URL of one server.",
            id="no url",
        ),
        pytest.param(
            "targets:\n- url: h:5432", f"c.yaml:2: targets.0.url: scheme 'h' is not known: {SCHEMES}", id="no scheme"
        ),
        pytest.param(
            "targets:\n- url: mysql://h", f"c.yaml:2: targets.0.url: scheme 'mysql' is not known: {SCHEMES}", id="scheme"
        ),
        pytest.param(
            "targets:\n- url: redis://",
            "c.yaml:2: targets.0.url: there is no host in the URL: write redis://HOST:PORT/...",
            id="no host",
        ),
        pytest.param(
            "targets:\n- url: postgresql://a,b/db",
            "c.yaml:2: targets.0.url: several hosts in one URL: each server is a target of its own, so that each is measured",
            id="several hosts",
        ),
        pytest.param(
            "targets:\n- url: redis://h:99999/",
            "c.yaml:2: targets.0.url: the port must be a number from 1 to 65535",
            id="port too large",
        ),
        pytest.param(
            "targets:\n- url: redis://h:0/",
            "c.yaml:2: targets.0.url: the port must be a number from 1 to 65535",
            id="port zero",
        ),
        pytest.param(
            "targets:\n- url: redis://h/cache",
            "c.yaml:2: targets.0.url: the Redis database must be a number, not 'cache'",
            id="name of a Redis database",
        ),
        pytest.param(
            "targets:\n- url: postgresql://h/db?foo=bar",
            "c.yaml:2: targets.0.url: parameter 'foo' is not known here: the URL takes sslcert, sslkey, sslmode, sslrootcert",
            id="parameter",
        ),
        pytest.param(
            "targets:\n- url: postgresql://h/db?sslmode=yes",
            "c.yaml:2: targets.0.url: sslmode 'yes' is not known: use disable, prefer, require, verify-ca, verify-full",
            id="sslmode",
        ),
        pytest.param(
            "targets:\n- url: http://[::1",
            "c.yaml:2: targets.0.url: it is not a URL: write SCHEME://USER@HOST:PORT/...",
            id="broken IPv6 address",
        ),
        pytest.param(
            "targets:\n- {url: redis://h, timeout_seconds: 0}",
            "c.yaml:2: targets.0.timeout_seconds: it must be greater than 0",
            id="no time at all",
        ),
        pytest.param(
            "targets:\n- {url: redis://h, timeout_seconds: .nan}",
            "c.yaml:2: targets.0.timeout_seconds: it must be less than or equal to 60",
            id="no number",
        ),
        pytest.param(
            "targets:\n- {url: http://h, expect_status: [200, 99]}",
            "c.yaml:2: targets.0.expect_status: 99 is not an HTTP status code: use 100 to 599",
            id="no status code",
        ),
        pytest.param(
            "targets:\n- {url: redis://h, password: a, password_file: c.yaml}",
            "c.yaml:2: targets.0: password and password_file are both given: keep password_file",
            id="two passwords",
        ),
        pytest.param(
            "targets:\n- url: redis://h\n  password_file: nothing",
            "c.yaml:3: targets.0.password_file: there is no file nothing: create it, or correct the path",
            id="missing file",
        ),
        pytest.param(
            "failover: {mode: sometimes}",
            "c.yaml:1: failover.mode: it must be 'off' or 'observe'",
            id="one of a few words",
        ),
        pytest.param(
            "listen: ${HERE}:1",
            "c.yaml:1: environment variable HERE is not set: set it, or write ${HERE:-default}",
            id="variable that is not set",
        ),
        pytest.param(
            "cluster: a\ncluster: b",
            "c.yaml:2: key 'cluster' is given twice (first on line 1): keep one",
            id="key given twice",
        ),
        pytest.param(
            "targets:\n- {url: redis://a}\n- {url: 'redis://b', name: a}",
            "c.yaml:3: targets.1: another target is called 'a' too (c.yaml:2): give each a `name` of its own",
            id="name given twice",
        ),
        pytest.param("cluster: !!int x", "c.yaml:1: YAML cannot read this as int: put it in quotes", id="tag"),
        pytest.param("cluster: !mine x", "c.yaml:1: YAML cannot read this as !mine: put it in quotes", id="own tag"),
        pytest.param(
            "cluster: 2024-13-45", "c.yaml:1: YAML cannot read this as timestamp: put it in quotes", id="no date"
        ),
        pytest.param("cluster: =", "c.yaml:1: YAML cannot read this as value: put it in quotes", id="YAML's equals sign"),
        pytest.param("? [a]\n: b", "c.yaml:1: a key must be a word, not a list or a mapping", id="list as a key"),
        pytest.param("a: b: c", "c.yaml:1: this is not YAML: mapping values are not allowed here", id="no YAML"),
        pytest.param("a: \x00", "c.yaml: this is not YAML: it cannot be read", id="control character"),
        pytest.param("- a", "c.yaml:1: the document must be a mapping such as 'targets: [...]'", id="a list"),
        pytest.param(b"\xff\xfe\xfd", "c.yaml: cannot be read: it is not UTF-8 text", id="no text"),
        pytest.param(
            "targets: &a [*a]",
            "c.yaml: it is nested too deeply, or an alias in it leads back to itself",
            id="alias of itself",
        ),
        pytest.param(
            "targets: " + "[" * 500,
            "c.yaml: it is nested too deeply, or an alias in it leads back to itself",
            id="deep nesting",
        ),
        pytest.param(
            "a: &a [1,2,3,4,5,6,7,8,9]\n" + "".join(f"{n}: &{n} [{','.join(['*' + p] * 9)}]\n" for p, n in zip("abcdefg", "bcdefgh", strict=True)),
            "c.yaml: it has more than 100000 values; do aliases in it multiply?",
            id="aliases that multiply",
        ),
    ],
)  # fmt: skip
def test_a_mistake(text: str | bytes, expected: str, tmp_path: Path) -> None:
    """What is wrong, where, and what to do about it; a value that cannot be read may make further ones wrong."""
    found = problems(text, tmp_path)
    assert expected in found
    assert all(each.startswith(expected[:7]) for each in found)


def test_all_at_once(tmp_path: Path) -> None:
    """Mistakes of every kind are reported together, from top to bottom."""
    text = """\
listn: 127.0.0.1:1
cluster: ${CLUSTER}
targets:
  - {name: pg, url: "postgresql://h/db", zone: 1}
  - {name: pg, url: "redis://h/x", pasword: y}
  - url: ftp://h
    password_file: nothing
failover:
  mode: sometimes
  mode: off
"""
    assert problems(text, tmp_path) == [
        "c.yaml:1: listn: unknown key: did you mean 'listen'?",
        "c.yaml:2: environment variable CLUSTER is not set: set it, or write ${CLUSTER:-default}",
        "c.yaml:2: cluster: string should have at least 1 character",
        "c.yaml:4: targets.0.zone: it must be text: put it in quotes",
        "c.yaml:5: targets.1: another target is called 'pg' too (c.yaml:4): give each a `name` of its own",
        "c.yaml:5: targets.1.url: the Redis database must be a number, not 'x'",
        "c.yaml:5: targets.1.pasword: unknown key: did you mean 'password'?",
        f"c.yaml:6: targets.2.url: scheme 'ftp' is not known: {SCHEMES}",
        "c.yaml:7: targets.2.password_file: there is no file nothing: create it, or correct the path",
        "c.yaml:9: failover.mode: it must be 'off' or 'observe'",
        "c.yaml:10: key 'mode' is given twice (first on line 9): keep one",
    ]


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        pytest.param({"HA_LISTEN": "x"}, f"environment: HA_LISTEN: listen: 'x' {ADDRESS}", id="listen"),
        pytest.param(
            {"HA_TARGETS": "redis://a ftp://b"},
            f"environment: HA_TARGETS: targets.1.url: scheme 'ftp' is not known: {SCHEMES}",
            id="targets",
        ),
        pytest.param(
            {"HA_TARGETS": "redis://a redis://a"},
            "environment: HA_TARGETS: targets.1: another target is called 'a' too (environment: HA_TARGETS): "
            "give each a `name` of its own",
            id="the same target twice",
        ),
        pytest.param(
            {"HA_FAILOVER__MODE": "x"},
            "environment: HA_FAILOVER__MODE: failover.mode: it must be 'off' or 'observe'",
            id="nested key",
        ),
        pytest.param(
            {"HA_FAILOVER": "{"},
            "environment: HA_FAILOVER: it must be JSON; or give single keys, such as HA_FAILOVER__MODE=observe",
            id="no JSON",
        ),
        pytest.param(
            {"REDIS_HOST": "r", "REDIS_PORT": "tcp://10.0.0.1:6379"},
            "environment: targets.0.url: the port must be a number from 1 to 65535",
            id="Kubernetes' idea of REDIS_PORT",
        ),
        pytest.param(
            {"PGHOST": "h", "POSTGRES_PASSWORD_FILE": "/nothing/here"},
            "environment: targets.0.password_file: there is no file /nothing/here: create it, or correct the path",
            id="missing file",
        ),
    ],
)
def test_mistakes_of_the_environment(env: dict[str, str], expected: str, tmp_path: Path) -> None:
    """They name the variable, also where a file has the same key on some line."""
    assert [expected] == problems("listen: 127.0.0.1:1\nfailover: {mode: observe}\n", tmp_path, env)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("nothing.yaml", "cannot be read: No such file or directory"), (".", "cannot be read: Is a directory")],
)
def test_unreadable_file(name: str, expected: str, tmp_path: Path) -> None:
    """A file that cannot be read is one clear sentence."""
    with pytest.raises(SettingsError) as raised:
        load(tmp_path / name, {})
    assert raised.value.problems == [f"{tmp_path / name}: {expected}"]


SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{SECRET}@h℀st/db",
        f"postgresql://u:{SECRET}@h:port/db",
        f"postgresql://u:{SECRET}@a,b/db",
        f"postgresql://u:{SECRET}@/db",
        f"redis://u:p@{SECRET}/word@h/0",
        f"redis://u:p@ss/{SECRET}@h/0",
        f"redis://u:p@ss?{SECRET}=x@h/0",
        f"redis://u:p@ss#{SECRET}@h/0",
        f"http://u:p@ss/{SECRET}@h/",
        f"mysql://u:{SECRET}@h/db",
        f"postgresql://u:{SECRET}@[::1/db",
    ],
)
def test_no_message_tells_the_password(url: str, tmp_path: Path) -> None:
    """A URL that cannot be read is not quoted: the password stands in it, and may be why it cannot be read."""
    found = problems(f"targets:\n- url: '{url}'\n- {{url: redis://h, password: [{SECRET}]}}", tmp_path)
    assert len(found) == 2
    assert SECRET not in "\n".join(found)


YAML = st.one_of(
    st.text(max_size=200),
    st.text(st.sampled_from("abctargets:[]{}&*!?|>-'\" \n0.%@`#,=~<${}"), max_size=80),
    st.recursive(
        st.one_of(
            st.sampled_from(["x", "7", "~", "yes", "${X}", "!!int q", "=", "postgresql://h", "redis://:p@h/1", "''"])
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
            st.dictionaries(
                st.sampled_from(["targets", "url", "name", "tls", "ca_file", "failover", "listen", "<<", "rules"]),
                inner,
                max_size=4,
            ).map(lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items()) + "}"),
        ),
        max_leaves=12,
    ),
)


@given(
    text=YAML,
    variables=st.dictionaries(st.sampled_from(["HA_LISTEN", "HA_TARGETS", "PGHOST", "X"]), st.text(max_size=9)),
)
def test_no_text_makes_a_traceback(
    text: str, variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever stands in the file or the variables, the answer is settings or their mistakes."""
    file = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    file.write_bytes(text.encode(errors="surrogatepass"))
    with contextlib.suppress(SettingsError):
        load(file, variables).all_targets()
