"""How one operator process was started: one frozen value, read once from environment and flags.

A flag wins over its variable. A value that makes no sense stops the start with a sentence that names it; nothing is guessed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from .api.base import seconds

TARGETS = ("Deployment", "StatefulSet", "Service", "Rollout", "InferenceService")
"""Kinds of serving targets that are known by name, and can be watched."""
_NAMESPACE = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
_SHORTEST_LEASE, _LONGEST_LEASE = 5.0, 300.0


class SettingsError(Exception):
    """A setting that cannot be used. The text names the setting, its value and what is accepted."""


@dataclass(frozen=True)
class Address:
    """Where to listen. An empty host means all interfaces, port 0 switches the server off."""

    host: str
    port: int


@dataclass(frozen=True)
class Settings:
    """See `VARIABLES` for what each means outside."""

    namespaces: tuple[str, ...]
    targets: tuple[str, ...]
    hold: bool
    kueue: bool
    allow_addresses: tuple[IPv4Network | IPv6Network, ...]
    metrics_address: Address
    health_address: Address
    webhook_address: Address
    leader_election: bool
    lease_name: str
    lease_duration: float
    """Seconds."""
    log_format: str
    log_level: str
    evaluator_image: str
    reporter_image: str


@dataclass(frozen=True)
class Variable:
    """One setting as users write it."""

    field: str
    default: str
    meaning: str
    accepted: str
    parse: Callable[[str], Any]
    """Raises ValueError for what is not accepted."""

    @property
    def name(self) -> str:
        """Name of the environment variable."""
        return f"WEIGHBRIDGE_{self.field.upper()}"

    @property
    def flag(self) -> str:
        """Name of the flag of `weighbridge run`."""
        return f"--{self.field.replace('_', '-')}"


def read(environment: Mapping[str, str], flags: Mapping[str, str | None]) -> Settings:
    """The settings; `flags` maps field names to what was given. Raises SettingsError."""
    values = {}
    for variable in VARIABLES:
        flag = flags.get(variable.field)
        text, origin = (flag, variable.flag) if flag is not None else (environment.get(variable.name), variable.name)
        text = variable.default if text is None else text.strip()
        try:
            values[variable.field] = variable.parse(text)
        except ValueError as error:
            raise SettingsError(f'{origin}="{text}" cannot be used: write {variable.accepted}') from error
    return Settings(**values)


def _namespaces(text: str) -> tuple[str, ...]:
    names = _words(text)
    if not all(_NAMESPACE.match(name) for name in names):
        raise ValueError
    return names


def _targets(text: str) -> tuple[str, ...]:
    kinds = _words(text)
    if not set(kinds) <= set(TARGETS):
        raise ValueError
    return kinds


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """10.0.0.1/8 is the network that address lies in."""
    return tuple(ip_network(word, strict=False) for word in _words(text))


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


def _switch(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()] if text.lower() in {"true", "false"} else _refuse()


def _refuse() -> bool:
    raise ValueError


def _name(text: str) -> str:
    if not _NAMESPACE.match(text):
        raise ValueError
    return text


def _lease(text: str) -> float:
    length = seconds(text)
    if not _SHORTEST_LEASE <= length <= _LONGEST_LEASE:
        raise ValueError
    return length


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError
        return text.lower()

    return parse


VARIABLES = (
    Variable(
        "namespaces",
        "",
        "namespaces to watch, others are never read; empty: all",
        "namespace names separated by commas, such as fraud,search, or nothing for all",
        _namespaces,
    ),
    Variable(
        "targets",
        "Deployment,StatefulSet,Service",
        "kinds of serving targets whose changes are heard of at once; targets of other kinds are looked at every ten seconds",
        f"kinds separated by commas, of {', '.join(TARGETS)}",
        _targets,
    ),
    Variable(
        "hold",
        "false",
        "look and tell, but change nothing: no promotion, no rollback, no write to a registry",
        "true or false",
        _switch,
    ),
    Variable(
        "kueue",
        "false",
        "whether Kueue's Workloads may be read, so that an evaluation says why it waits in its queue",
        "true or false",
        _switch,
    ),
    Variable(
        "allow_addresses",
        "",
        "networks that would else be refused as registry addresses (loopback, link-local, metadata)",
        "networks separated by commas, such as 127.0.0.0/8,fd00::/8",
        _networks,
    ),
    Variable("metrics_address", ":8080", "where /metrics is served", "host:port or :port; port 0 switches it off", _address),
    Variable(
        "health_address", ":8081", "where /healthz and /readyz are served", "host:port or :port; port 0 switches it off", _address
    ),
    Variable(
        "webhook_address",
        ":0",
        "where registries may send webhooks (/webhooks/<namespace>/<ModelRegistry>), Alertmanager its alerts (/alerts/<namespace>)",
        "host:port or :port; port 0 switches it off",
        _address,
    ),
    Variable("leader_election", "true", "whether a Lease decides which replica acts", "true or false", _switch),
    Variable("lease_name", "weighbridge", "the Lease that the replicas of one install share", "a name such as weighbridge", _name),
    Variable(
        "lease_duration",
        "15s",
        "how long a leader that fell silent is waited for",
        "a duration from 5s to 5m, such as 15s",
        _lease,
    ),
    Variable("log_format", "json", "form of the log", "json or text", _one_of("json", "text")),
    Variable(
        "log_level",
        "info",
        "least important lines of the log",
        "debug, info, warning or error",
        _one_of("debug", "info", "warning", "error"),
    ),
    Variable("evaluator_image", "", "image of the engine `mlflow` where an evaluation names none", "an image", str),
    Variable("reporter_image", "", "image of the reporter next to the engine: the operator's own", "an image", str),
)
"""Every setting, in the order of the documentation."""
