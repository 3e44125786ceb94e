"""The questions that the lab asks Prometheus over its HTTP API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import httpx

from observability.errors import LabError
from observability.lab.ready import http_client


class Series(NamedTuple):
    """One series of an instant query."""

    labels: Mapping[str, str]
    value: float


class Prometheus:
    """A client of Prometheus' HTTP API."""

    def __init__(self, port: int) -> None:
        self._client = http_client(port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def query(self, expression: str) -> list[Series]:
        """The series of an instant query."""
        answer = self._get("/api/v1/query", query=expression)
        return [Series(each["metric"], float(each["value"][1])) for each in answer["result"]]

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are pending or firing."""
        return list(self._get("/api/v1/alerts")["alerts"])

    def rules(self) -> list[dict[str, Any]]:
        """The loaded alert rules with their health."""
        groups = self._get("/api/v1/rules", type="alert")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        try:
            response = self._client.get(path, params=parameters)
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise LabError(f"Prometheus does not answer {path}: {type(error).__name__}") from error
        if answer.get("status") != "success":
            raise LabError(f"Prometheus refuses {path} {parameters}: {answer.get('error', response.status_code)}")
        return dict(answer["data"])
