"""Who is let in, with a clock that the test turns."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from starlette.requests import Request

from observability.connect import Secret
from observability.failover.admission import Admission, RefusedError


def request(authorization: str | None) -> Request:
    """A request with an Authorization header."""
    headers = [] if authorization is None else [(b"authorization", authorization.encode("latin-1"))]
    return Request({"type": "http", "headers": headers})


def basic(text: bytes) -> str:
    """The header of Basic."""
    return f"Basic {base64.b64encode(text).decode()}"


@pytest.mark.parametrize("header", ["Bearer s3cret", "bearer  s3cret ", basic(b"anyone:s3cret"), basic(b":s3cret")])
def test_token_opens(header: str) -> None:
    """The token opens as Bearer, and as the password of Basic under any name."""
    Admission(Secret("s3cret")).require_token(request(header))


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer s3cre", "Bearer S3CRET", "s3cret", basic(b"s3cret"), "Basic !", "Basic é"],
)
@pytest.mark.parametrize("token", ["s3cret", "", None])
def test_nothing_else_opens(header: str | None, token: str | None) -> None:
    """Anything else is refused; an empty token opens to nobody."""
    with pytest.raises(RefusedError) as refused:
        Admission(Secret(token)).require_token(request(header))
    assert (refused.value.status, refused.value.outcome) == (401, "unauthorized")


def test_token_file_is_read_anew(tmp_path: Path) -> None:
    """A token that was rotated counts at once; while its file is away, nobody is let in."""
    path = tmp_path / "token"
    path.write_text("old\n")
    admission = Admission(Secret(path=path))
    admission.require_token(request("Bearer old"))
    path.write_text("new\n")
    admission.require_token(request("Bearer new"))
    path.unlink()
    with pytest.raises(RefusedError) as refused:
        admission.require_token(request("Bearer new"))
    assert refused.value.status == 503
    assert str(path) not in str(refused.value)


def test_requests_beyond_the_burst_wait_for_time_to_pass() -> None:
    """A burst is taken at once, and then as many as time allows."""
    now = 0.0
    admission = Admission(Secret("x"), per_second=2, burst=3, monotonic=lambda: now)
    for _ in range(3):
        admission.require_room()
    with pytest.raises(RefusedError) as refused:
        admission.require_room()
    assert (refused.value.status, refused.value.outcome) == (429, "too_many")
    now = 0.5
    admission.require_room()
    with pytest.raises(RefusedError):
        admission.require_room()
