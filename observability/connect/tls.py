"""TLS contexts by libpq's sslmode, for every driver."""

from __future__ import annotations

import ssl

from observability.connect.target import Tls
from observability.errors import Reason, TargetError


def context(tls: Tls) -> ssl.SSLContext | None:
    """
    The context for `tls`, or None for `disable`.

    `prefer` and `require` encrypt without verifying unless a CA is given, as libpq does.

    Raises:
        TargetError: when a certificate, key or CA file cannot be used.

    """
    if tls.mode == "disable":
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = tls.mode == "verify-full"
    verify = tls.mode.startswith("verify") or tls.ca_file is not None
    made.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    try:
        if tls.ca_file:
            made.load_verify_locations(tls.ca_file)
        elif verify:
            made.load_default_certs()
        if tls.cert_file:
            made.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(path) for path in (tls.ca_file, tls.cert_file, tls.key_file) if path)
        raise TargetError(Reason.TLS, f"TLS files cannot be used ({files}): {error}") from error
    return made
