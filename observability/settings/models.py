"""The one tree of settings: what a configuration file may say, with defaults and the meaning of each key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from observability.connect.target import Secret, Target, Tls, TlsMode
from observability.failover.model import Mode, Rules
from observability.settings import target_url

_STRICT = ConfigDict(extra="forbid", frozen=True)


class TlsSettings(BaseModel):
    """How a target is encrypted and verified."""

    model_config = _STRICT

    mode: TlsMode | None = Field(None, description="libpq's sslmode; prefer unless the URL says otherwise.")
    ca_file: Path | None = Field(None, description="PEM file of the authority that signed the server's certificate.")
    cert_file: Path | None = Field(None, description="PEM file of our own certificate.")
    key_file: Path | None = Field(None, description="PEM file of our own key.")


class TargetSettings(BaseModel):
    """One server to watch."""

    model_config = _STRICT

    url: str = Field(
        repr=False, description="postgresql://, redis://, rediss://, http:// or https:// URL of one server."
    )
    name: str = Field("", description="The label `server`; host:port unless given.")
    cluster: str | None = Field(None, description="The label `cluster`; the file's `cluster` unless given.")
    zone: str = Field("", description="The label `zone`: where the server stands.")
    password: SecretStr | None = Field(None, description="Better in password_file or as ${VAR}.")
    password_file: Path | None = Field(None, description="File that holds the password; read again at each connection.")
    tls: TlsSettings = Field(default_factory=TlsSettings, description="Encryption and verification.")
    timeout_seconds: float = Field(2.0, gt=0, le=60, description="Longest time that one look at this target may take.")
    expect_status: list[int] = Field(
        default_factory=list, description="HTTP only: status codes that are right; 2xx unless given."
    )

    @field_validator("url")
    @classmethod
    def _url_can_be_read(cls, url: str) -> str:
        target_url.parse(url)
        return url

    @field_validator("expect_status")
    @classmethod
    def _status_codes(cls, codes: list[int]) -> list[int]:
        wrong = [code for code in codes if not 100 <= code <= 599]  # noqa: PLR2004 -- RFC 9110
        if wrong:
            raise ValueError(f"{wrong[0]} is not an HTTP status code: use 100 to 599")
        return codes

    @model_validator(mode="after")
    def _one_password(self) -> TargetSettings:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file are both given: keep password_file")
        return self

    def target(self, default_cluster: str) -> Target:
        """What is to be connected to."""
        parts: dict[str, Any] = target_url.parse(self.url)
        given = self.tls.model_dump(exclude_none=True)
        tls = Tls(**({**parts.pop("tls", {}), **given}))
        password = self.password.get_secret_value() if self.password else parts.pop("password", None)
        parts.pop("password", None)
        return Target(
            **parts,
            name=server_name(self.name, parts),
            cluster=self.cluster or default_cluster,
            zone=self.zone,
            password=Secret(password, path=self.password_file),
            tls=tls,
            expect_status=frozenset(self.expect_status),
            timeout_seconds=self.timeout_seconds,
        )


_RULES = Rules()


class RulesSettings(BaseModel):
    """The thresholds of the failover policy; `observability.failover.model.Rules` says more about each."""

    model_config = _STRICT

    max_lag_bytes: int = Field(
        _RULES.max_lag_bytes, ge=0, description="Most WAL that a promoted standby may lack (the RPO); 0: none at all."
    )
    max_unwatched_seconds: float = Field(
        _RULES.max_unwatched_seconds, gt=0, description="Longest time that nobody read the primary before its loss."
    )
    confirm_looks: int = Field(_RULES.confirm_looks, ge=1, le=10, description="Looks that must agree.")
    confirm_interval_seconds: float = Field(
        _RULES.confirm_interval_seconds, ge=0, le=60, description="Pause between two looks."
    )
    look_timeout_seconds: float = Field(
        _RULES.look_timeout_seconds, gt=0, le=60, description="Longest time that a server may take for one look."
    )
    standby_silence_seconds: float = Field(
        _RULES.standby_silence_seconds,
        gt=0,
        description="How long a connected standby must have heard nothing; above the pause between two writes.",
    )
    alert_max_age_seconds: float = Field(
        _RULES.alert_max_age_seconds, gt=0, description="Older alerts are for a person to judge."
    )
    clock_skew_seconds: float = Field(_RULES.clock_skew_seconds, ge=0, description="How far ahead an alert may begin.")
    cooldown_seconds: float = Field(_RULES.cooldown_seconds, ge=0, description="No second failover within this time.")
    watch_interval_seconds: float = Field(
        _RULES.watch_interval_seconds, gt=0, le=60, description="Pause between two readings of the primary's position."
    )

    def rules(self) -> Rules:
        """The same for the policy."""
        return Rules(**self.model_dump())


class FailoverSettings(BaseModel):
    """The failover controller."""

    model_config = _STRICT

    listen: str = Field("127.0.0.1:9943", description="Where the controller takes webhooks.")
    mode: Mode = Field(Mode.OBSERVE, description="observe: look, decide and say; nothing acts.")
    state_url: str = Field(
        "sqlite+aiosqlite:///ha-observability.db",
        repr=False,
        description="SQLAlchemy URL of the journal; not the database it watches.",
    )
    token: SecretStr | None = Field(None, description="Bearer token of webhooks and of the API; better in token_file.")
    token_file: Path | None = Field(None, description="File that holds the token; read again at each request.")
    rules: RulesSettings = Field(default_factory=RulesSettings, description="The thresholds of the policy.")

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        host_and_port(value)
        return value


class Settings(BaseSettings):
    """Everything that can be configured; each key can also be given as HA_KEY in the environment."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="HA_", env_nested_delimiter="__", env_ignore_empty=True
    )

    listen: str = Field("127.0.0.1:9942", description="Where the exporter serves; the container says 0.0.0.0:9942.")
    cluster: str = Field("default", min_length=1, description="The label `cluster` of targets that name none.")
    targets: Annotated[list[TargetSettings], NoDecode] = Field(
        default_factory=list, description="What to watch; in HA_TARGETS, URLs with spaces between."
    )
    failover: FailoverSettings = Field(default_factory=FailoverSettings, description="The failover controller.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 -- pydantic-settings' signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- pydantic-settings' signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- pydantic-settings' signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- pydantic-settings' signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing but what `load` gives: it reads the environment that it is given, not that of the process."""
        return (init_settings,)

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        host_and_port(value)
        return value

    def all_targets(self) -> list[Target]:
        """The targets, ready to be connected to."""
        return [each.target(self.cluster) for each in self.targets]


def server_name(given: str, parts: Mapping[str, Any]) -> str:
    """The name of a target: the one that was given, else host and port of its URL."""
    return given or f"{parts['host']}{':' if parts['port'] else ''}{parts['port'] or ''}"


def host_and_port(listen: str) -> tuple[str, int]:
    """
    `127.0.0.1:9942`, `:9942` (all interfaces) or `[::1]:9942` as host and port.

    Raises:
        ValueError: when it is none of these.

    """
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535:  # noqa: PLR2004 -- ports
        raise ValueError(f"'{listen}' is not an address to listen on: write HOST:PORT, such as 127.0.0.1:9942")
    return host.strip("[]") or "0.0.0.0", int(port)
