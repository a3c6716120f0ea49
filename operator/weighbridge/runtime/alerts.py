"""Where Alertmanager says that something is wrong with what serves: `POST /alerts/<namespace>`, in its webhook format, version 4.

An alert becomes an annotation on the ModelVersion it speaks of, and is answered after the write: what was answered is not lost, and
what was not is sent again. What an alert leads to is decided elsewhere (`core/requests.py`). Its labels are text of strangers:
nothing of them is logged but its name, cut.
"""

import hmac
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from aiohttp import web
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from ..api.annotations import ALERT
from ..api.base import API_VERSION
from ..api.modelversion import ModelVersion
from ..api.versionstatus import ServingState
from ..controllers.ports import ClusterError, Store
from ..core.requests import began_at, counts
from ..core.stages import HOLDING
from . import inbound, logs
from .cluster import Cluster
from .news import News
from .queue import Priority
from .refusal import Conflict, NotFound

SECRET = "weighbridge-alerts"  # noqa: S105 - the name of the Secret, not its value
SECRET_KEY = "ALERTS_TOKEN"  # noqa: S105
_LARGEST = 256 * 1024
_MOST_ALERTS = 200
_LONGEST_NAME = 100
_LONGEST_VALUE = 512
_ATTEMPTS = 5
"""Against writes of others in between; each is answered by a look at what they wrote."""
_NOT_UNDERSTOOD = "this is not Alertmanager's webhook format, version 4: send it from a receiver with webhook_configs\n"
_QUIET = frozenset({"resolved", "duplicate"})
"""What becomes of most alerts that are sent again."""


def _utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("out of range") from error


class Alert(BaseModel):
    """One alert, as far as it is read."""

    model_config = ConfigDict(frozen=True, strict=True)

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    began: Annotated[AwareDatetime, AfterValidator(_utc), Field(alias="startsAt")]
    fingerprint: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,64}$")]

    @property
    def name(self) -> str:
        """Its name, without characters that move a terminal's cursor."""
        name = self.labels.get("alertname", "").strip()[:_LONGEST_NAME]
        return "".join(each if each.isprintable() else "?" for each in name) or "unnamed"

    @property
    def identity(self) -> str:
        """Tells one time of firing from others: the same again when Alertmanager repeats itself."""
        return f"{self.began.isoformat().replace('+00:00', 'Z')} {self.fingerprint}"


class _Notification(BaseModel):
    model_config = ConfigDict(strict=True)

    version: Literal["4"]
    alerts: list[Alert]


class Alerts:
    """Takes alerts in."""

    def __init__(
        self,
        *,
        store: Store,
        cluster: Cluster,
        news: News,
        secrets: Callable[[str, str], Awaitable[Mapping[str, str] | None]],
        leads: Callable[[], bool],
        now: Callable[[], datetime],
        observe: Callable[[str], None],
    ) -> None:
        """`secrets` reads a Secret by namespace and name (ClusterError where that cannot be told). `leads`: whether this process
        may write. `observe` is told what became of every alert, and of every request none was taken from."""
        self._store, self._cluster, self._news = store, cluster, news
        self._leads, self._now, self._observe = leads, now, observe
        self._secret = inbound.SharedSecrets(secrets, now)

    def routes(self) -> tuple[web.RouteDef, ...]:
        """What to listen for."""
        return (web.post("/alerts/{namespace}", self._handle),)

    async def _handle(self, request: web.Request) -> web.Response:
        namespace = request.match_info["namespace"]
        response, outcome = await inbound.settled(self._taken_in(request, namespace), "alert", namespace)
        if outcome:
            self._observe(outcome)
        return response

    async def _taken_in(self, request: web.Request, namespace: str) -> tuple[web.Response, str]:
        if not self._leads():
            return inbound.not_now(), "not-leading"
        if not await self._is_authorised(namespace, request.headers.get("Authorization", "")):
            return inbound.refused(), "refused"
        try:
            told = _Notification.model_validate_json(await inbound.body(request, _LARGEST))
        except ValidationError:
            return web.Response(status=400, text=_NOT_UNDERSTOOD), "invalid"
        if len(told.alerts) > _MOST_ALERTS:
            logs.event(logging.WARNING, "alerts left out", namespace=namespace, sent=len(told.alerts), used=_MOST_ALERTS)
        # The newest first: those that began before it, under the same version, add nothing.
        for alert in sorted(told.alerts[:_MOST_ALERTS], key=lambda each: (each.began, each.fingerprint), reverse=True):
            self._observe(await self._take(namespace, alert))
        return web.Response(text="ok\n"), ""

    async def _is_authorised(self, namespace: str, header: str) -> bool:
        scheme, _, token = header.partition(" ")
        # Where there is nothing to take an alert for, no stranger makes us ask the API server.
        if scheme.lower() != "bearer" or not token.strip() or not self._store.versions(namespace):
            return False
        expected = await self._secret(namespace, SECRET, SECRET_KEY)
        if not expected:
            logs.event(logging.DEBUG, "alert refused", namespace=namespace, missing=f"{SECRET_KEY} in Secret {SECRET}")
        given = token.strip().encode(errors="replace")
        return bool(expected) and hmac.compare_digest(given, expected.encode())

    async def _take(self, namespace: str, alert: Alert) -> str:
        """Follows one alert; what became of it."""
        for _ in range(_ATTEMPTS):
            version, judged = self._judged(namespace, alert)
            outcome = await self._write(version, alert) if version is not None and judged == "written" else judged
            if outcome is not None:
                self._tell(namespace, version, alert, outcome)
                return outcome
        raise ClusterError("Conflict", "the ModelVersion changes too fast to be annotated")

    def _tell(self, namespace: str, version: ModelVersion | None, alert: Alert, outcome: str) -> None:
        level = logging.DEBUG if outcome in _QUIET else logging.INFO
        name = version.metadata.name if version is not None else ""
        logs.event(level, "alert", namespace=namespace, version=name, alert=alert.name, outcome=outcome)

    async def _write(self, version: ModelVersion, alert: Alert) -> str | None:
        """What became of the alert; None where the version has changed meanwhile: the store then has it as it is."""
        meta, kind = version.metadata, version.info.kind
        _, states = self._concerned(meta.namespace, alert.labels)
        where = f"@{states[0].target}" if states and alert.labels.get("target") else ""
        value = f"{alert.identity}{where} {alert.name}"[:_LONGEST_VALUE]
        body = {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "annotations": {ALERT: value}}}
        try:
            answer = await self._cluster.merge(API_VERSION, kind, meta.namespace, meta.name, body)
        except NotFound:
            return "no-version"
        except Conflict:
            live = await self._cluster.get(API_VERSION, kind, meta.namespace, meta.name)
            if live is None:
                return "no-version"
            self._news.seen(live, Priority.FRESH)
            return None
        self._news.seen(answer, Priority.URGENT)
        return "written"

    def _judged(self, namespace: str, alert: Alert) -> tuple[ModelVersion | None, str]:
        """The version the alert speaks of, and what is to become of the alert; `written`: it is to be written."""
        if alert.status != "firing":
            return None, "resolved"
        if alert.labels.get("namespace", namespace) != namespace:
            return None, "foreign"
        version, states = self._concerned(namespace, alert.labels)
        if version is None:
            return None, "no-version"
        if "Alert" not in version.spec.rollback.triggers:
            return version, "not-asked"
        states = [state for state in states if state.state in HOLDING and state.repointed_at is not None]
        if self._is_known(version, states, alert):
            return version, "duplicate"
        if not states:
            return version, "not-serving"
        if any(counts(version, state, alert.began) for state in states):
            return version, "written"
        return version, "older" if all(alert.began < _given(state) for state in states) else "cooling"

    def _concerned(self, namespace: str, labels: Mapping[str, str]) -> tuple[ModelVersion | None, list[ServingState]]:
        """The version, and its standings that the alert may speak of."""
        versions, name, target = self._store.versions(namespace), labels.get("modelversion", ""), labels.get("target", "")
        if name:
            found = next((each for each in versions if each.metadata.name == name), None)
            states = found.status.serving if found is not None else ()
            return found, [state for state in states if not target or _named(state, target)]
        holding = [
            (version, state)
            for version in versions
            for state in version.status.serving
            if target and _named(state, target) and state.state in HOLDING
        ]
        if not holding:
            return None, []
        # While one takes over from another both may hold it; the alert is put to the newer one, which was not there if it is older.
        version, state = max(holding, key=lambda each: _given(each[1]))
        return version, [state]

    def _is_known(self, version: ModelVersion, states: Iterable[ServingState], alert: Alert) -> bool:
        """Whether the alert is written already, or a newer one that speaks of the same hold on the target."""
        for text in (version.metadata.annotations.get(ALERT, ""), version.status.requests.alert):
            if " ".join(text.split(" ", 2)[:2]).partition("@")[0] == alert.identity:
                return True
            began = began_at(text)
            if began is not None and alert.began <= began <= self._now() and any(counts(version, each, began) for each in states):
                return True
        return False


def _named(state: ServingState, target: str) -> bool:
    """Whether an alert's label names it, with or without its kind."""
    return target in (state.target, state.target.partition("/")[2])


def _given(state: ServingState) -> datetime:
    return state.repointed_at or datetime.min.replace(tzinfo=UTC)
