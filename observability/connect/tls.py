"""TLS contexts by libpq's sslmode, for every driver."""

from __future__ import annotations

import ssl
from functools import lru_cache

from observability.connect.target import Tls
from observability.errors import Reason, TargetError


def context(tls: Tls) -> ssl.SSLContext | None:
    """
    The context for `tls`, or None for `disable`.

    `prefer` and `require` encrypt without verifying unless a CA is given, as libpq does. Contexts are kept until a file
    changes: reading the system's authorities takes longer than a whole scrape.

    Raises:
        TargetError: when a certificate, key or CA file cannot be used.

    """
    if tls.mode == "disable":
        return None
    files = [path for path in (tls.ca_file, tls.cert_file, tls.key_file) if path]
    try:
        return _context(tls, tuple(path.stat().st_mtime_ns for path in files))
    except (OSError, ssl.SSLError) as error:
        names = ", ".join(map(str, files))
        raise TargetError(Reason.TLS, f"TLS files cannot be used ({names}): {error}") from error


@lru_cache(maxsize=256)
def _context(tls: Tls, changed: tuple[int, ...]) -> ssl.SSLContext:  # noqa: ARG001 -- when the files were: another key
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = tls.mode == "verify-full"
    verify = tls.mode.startswith("verify") or tls.ca_file is not None
    made.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    if tls.ca_file:
        made.load_verify_locations(tls.ca_file)
    elif verify:
        made.load_default_certs()
    if tls.cert_file:
        made.load_cert_chain(tls.cert_file, tls.key_file)
    return made
