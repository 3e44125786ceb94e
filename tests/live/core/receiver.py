"""A small, real OTLP receiver over HTTP."""

from __future__ import annotations

import gzip
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from observability.lab.ports import HOST


class Receiver:
    """Takes what is pushed to it; `next()` is what came next."""

    def __init__(self, port: int = 0) -> None:
        self._received: queue.Queue[ExportMetricsServiceRequest] = queue.Queue()
        received = self._received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/metrics":
                    received.put(ExportMetricsServiceRequest.FromString(body))
                self.send_response(200 if self.path == "/v1/metrics" else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((HOST, port), Handler)
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """What `OTEL_EXPORTER_OTLP_ENDPOINT` takes."""
        return f"http://{HOST}:{self.port}"

    def next(self, timeout_seconds: float = 20) -> ExportMetricsServiceRequest:
        """The next request, waited for."""
        return self._received.get(timeout=timeout_seconds)
