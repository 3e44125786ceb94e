"""
Alertmanager's webhooks, version 4, checked and read into `Alert`s.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config. Labels are data: they are compared and shown,
never put into a command, a query or a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from observability.errors import FailoverError
from observability.failover.model import Alert

MAX_BYTES = 512 * 1024
"""The longest webhook that is read: a group of several hundred alerts."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_ALERTS = 1000
_SHOWN_PROBLEMS = 5

_Text = Annotated[str, StringConstraints(max_length=16_384)]
_Name = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
_NAMES = ("alertname", "cluster", "ha_action", "severity")


class WebhookError(FailoverError):
    """The body is not a webhook that we know; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """
    The alerts of one webhook.

    `truncated` is how many Alertmanager left out: what is absent from such a message has not gone away.
    """

    alerts: tuple[Alert, ...]
    truncated: int


class _Labels(BaseModel):
    """The labels that we act by; the others are kept as they are."""

    model_config = ConfigDict(extra="allow", strict=True)

    __pydantic_extra__: dict[str, _Text]

    alertname: _Name
    cluster: _Name = ""
    ha_action: _Name = ""
    severity: _Name = ""


class _Alert(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    status: Literal["firing", "resolved"]
    labels: _Labels
    annotations: dict[str, _Text] = Field(default_factory=dict)
    startsAt: AwareDatetime  # noqa: N815 -- Alertmanager's name
    fingerprint: _Fingerprint


class _Payload(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    version: Literal["4"]
    alerts: Annotated[list[_Alert], Field(max_length=_MAX_ALERTS)]
    truncatedAlerts: Annotated[int, Field(ge=0)] = 0  # noqa: N815 -- Alertmanager's name


def parse(body: bytes) -> Webhook:
    """
    The alerts of a webhook's body.

    Raises:
        WebhookError: when it is not one, with each problem and its place.

    """
    try:
        payload = _Payload.model_validate_json(body)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in each['loc']) or 'body'}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        raise WebhookError(
            f"not an Alertmanager webhook of version 4: {'; '.join(problems[:_SHOWN_PROBLEMS])}{more}"
        ) from None
    return Webhook(alerts=tuple(map(_alert, payload.alerts)), truncated=payload.truncatedAlerts)


def _alert(given: _Alert) -> Alert:
    labels = given.labels
    everything = {name: getattr(labels, name) for name in _NAMES if name in labels.model_fields_set}
    everything |= labels.model_extra or {}
    return Alert(
        fingerprint=given.fingerprint,
        name=labels.alertname,
        cluster=labels.cluster,
        action=labels.ha_action,
        severity=labels.severity,
        firing=given.status == "firing",
        starts_at=(given.startsAt - _EPOCH).total_seconds(),
        labels=tuple(sorted(everything.items())),
        annotations=tuple(sorted(given.annotations.items())),
    )
