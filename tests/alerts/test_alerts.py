"""Every alert fires under its fault and is silent in health: the rules as Prometheus' own tool evaluates them."""

import ast
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from weighbridge.runtime.metrics import Metrics
from weighbridge.runtime.queue import Queue
from weighbridge.runtime.store import ObjectStore

ROOT = Path(__file__).parents[2]
RULES = ROOT / "charts" / "weighbridge" / "files" / "alerts.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"
Rule = dict[str, Any]

BASE: Mapping[str, str] = {
    'weighbridge_leader{pod="a"}': "1x3000",
    'weighbridge_leader{pod="b"}': "0x3000",
    'weighbridge_resources{kind="ModelVersion",ready="True",reason="Serving",pod="a"}': "1x3000",
    'weighbridge_registry_requests_total{operation="write",outcome="Known",pod="a"}': "1+1x3000",
    'weighbridge_evaluation_attempts_total{outcome="Measured",pod="a"}': "0+0.1x3000",
    'weighbridge_evaluation_attempts_total{outcome="EngineFailed",pod="a"}': "0x3000",
    'weighbridge_reconcile_total{kind="ModelVersion",outcome="unchanged",pod="a"}': "0+20x3000",
    'weighbridge_reconcile_total{kind="ModelVersion",outcome="failed",pod="a"}': "0+1x3000",
    'weighbridge_unexpected_errors_total{kind="ModelVersion",pod="a"}': "0x3000",
    **{
        f'weighbridge_modelregistry_ready{{namespace="fraud",name="mlflow",reason="Reachable",pod="{pod}"}}': "1x3000"
        for pod in ("a", "b")
    },
    **{
        f'{name}{{namespace="fraud",name="{who}"{more},pod="{pod}"}}': values
        for pod in ("a", "b")
        for who, phase in (("v7", "Serving"), ("v6", "Superseded"), ("v1", "Archived"))
        for name, more, values in (
            ("weighbridge_modelversion_phase", f',phase="{phase}"', "1x3000"),
            ("weighbridge_modelversion_rollback_ready", "", "1x3000"),
            ("weighbridge_modelversion_condition", ',type="Approved",reason="Approved"', "1x3000"),
            ("weighbridge_modelversion_last_check_timestamp_seconds", "", "0+60x3000"),
        )
        if phase != "Archived" or name.endswith("phase")
    },
}
"""Two replicas, one ModelVersion that serves, one that stands by, one that is archived. A sample a minute, for two days."""


def series(metric: str, who: str, **more: str) -> str:
    labels = "".join(f',{key}="{value}"' for key, value in more.items())
    return f'{metric}{{namespace="fraud",name="{who}"{labels},pod="a"}}'


def without(*parts: str) -> dict[str, None]:
    """No series whose name has one of these in it."""
    return {each: None for each in BASE if any(part in each for part in parts)}


def phase(who: str, *times: tuple[str, str]) -> dict[str, str | None]:
    """The version goes through these phases, each with the samples of its series."""
    told = {series("weighbridge_modelversion_phase", who, phase=word): values for word, values in times}
    return {**without(f'phase{{namespace="fraud",name="{who}"'), **told}


def drift(kind: str, who: str = "v7") -> dict[str, str | None]:
    return {series("weighbridge_modelversion_drift", who, type=kind): "_x10 1x3000"}


@dataclass(frozen=True)
class Fault:
    """What is different from health from minute ten on, and when the alert tells."""

    alert: str
    series: Mapping[str, str | None]
    fires: str
    """A time at which it fires."""
    silent: str
    """A time at which it does not: not yet, or not any more."""
    labels: Mapping[str, str] = field(default_factory=lambda: {"namespace": "fraud", "name": "v7"})


V6 = {"namespace": "fraud", "name": "v6"}
READY = "weighbridge_modelversion_rollback_ready"
REQUESTS = "weighbridge_registry_requests_total"
ATTEMPTS = "weighbridge_evaluation_attempts_total"
CONDITION = "weighbridge_modelversion_condition"
UNWRITTEN = "weighbridge_modelversion_write_back_waiting_since_timestamp_seconds"
WAITING = "weighbridge_evaluationjob_waiting_since_timestamp_seconds"
FAULTS = (
    Fault("WeighbridgePointerDrift", drift("Pointer"), fires="16m", silent="14m"),
    Fault("WeighbridgeServingDrift", drift("Serving"), fires="21m", silent="19m"),
    Fault("WeighbridgeRegistryDrift", drift("Registry"), fires="41m", silent="39m"),
    Fault("WeighbridgeArtifactDrift", drift("Artifact"), fires="11m", silent="8m"),
    Fault("WeighbridgeArtifactDrift", drift("Artifact", "v6"), fires="11m", silent="8m", labels=V6),
    Fault("WeighbridgeRevokedServing", drift("Revoked"), fires="13m", silent="11m"),
    Fault("WeighbridgeDriftUnknown", drift("Unknown"), fires="71m", silent="69m"),
    Fault("WeighbridgeRolledBack", phase("v7", ("Serving", "1x9 stale"), ("RolledBack", "_x10 1x3000")), fires="11m", silent="8m"),
    Fault("WeighbridgeRolledBack", phase("v7", ("Serving", "1x9 stale"), ("RolledBack", "_x10 1x3000")), fires="24h", silent="25h"),
    Fault(  # after a retry days later it is news again
        "WeighbridgeRolledBack",
        phase("v7", ("RolledBack", "1x1499 stale _x10 1x1000"), ("Promoting", "_x1500 1x9 stale")),
        fires="1520m",
        silent="1490m",
    ),
    Fault(
        "WeighbridgeNoEligibleClaim",
        {series(CONDITION, "v7", type="Ready", reason="NoEligibleClaim"): "_x10 0x3000"},
        fires="16m",
        silent="14m",
    ),
    Fault(
        "WeighbridgeRollbackTargetDead",
        {**without(f'{READY}{{namespace="fraud",name="v6"'), series(READY, "v6"): "1x9 0x3000"},
        fires="21m",
        silent="19m",
        labels=V6,
    ),
    Fault(
        "WeighbridgeNoRollbackTarget",
        {**without(f'{READY}{{namespace="fraud",name="v7"'), series(READY, "v7"): "1x9 0x3000"},
        fires="71m",
        silent="69m",
    ),
    Fault("WeighbridgeDemoted", phase("v7", ("Serving", "1x9 stale"), ("Demoted", "_x10 1x3000")), fires="11m", silent="75m"),
    Fault(
        "WeighbridgeDemoted",
        phase("v6", ("Superseded", "1x9 stale"), ("Demoted", "_x10 1x3000")),
        fires="11m",
        silent="75m",
        labels=V6,
    ),
    Fault("WeighbridgeDemoted", phase("v7", ("Serving", "1x9 stale"), ("Archived", "_x10 1x3000")), fires="11m", silent="75m"),
    Fault(
        "WeighbridgePromotionStuck", phase("v7", ("Promoting", "1x25 stale"), ("Blocked", "_x26 1x3000")), fires="31m", silent="29m"
    ),
    Fault(
        "WeighbridgeWriteBackFailing",
        {
            **without(REQUESTS),
            f'{REQUESTS}{{operation="write",outcome="Known",pod="a"}}': "1x3000",
            f'{REQUESTS}{{operation="write",outcome="Unauthorized",pod="a"}}': "0x9 1+1x3000",
        },
        fires="28m",
        silent="24m",
        labels={"outcome": "Unauthorized"},
    ),
    Fault(
        "WeighbridgeChecksStale",
        {
            **without('last_check_timestamp_seconds{namespace="fraud",name="v7"'),
            series("weighbridge_modelversion_last_check_timestamp_seconds", "v7"): "0+60x9 600x3000",
        },
        fires="46m",
        silent="44m",
    ),
    Fault(
        "WeighbridgeChecksStale",
        without('last_check_timestamp_seconds{namespace="fraud",name="v7"'),
        fires="6m",
        silent="4m",
    ),
    Fault(
        "WeighbridgeAwaitingApproval",
        {
            **without(f'{CONDITION}{{namespace="fraud",name="v7"'),
            series(CONDITION, "v7", type="Approved", reason="ApprovalRequired"): "_x10 0x3000",
        },
        fires="251m",
        silent="249m",
    ),
    Fault(
        "WeighbridgeEvaluationFailing",
        {
            **without(ATTEMPTS),
            f'{ATTEMPTS}{{outcome="Measured"}}': "0x3000",
            f'{ATTEMPTS}{{outcome="OutOfMemory"}}': "0x9 0+0.1x3000",
        },
        fires="90m",
        silent="20m",
        labels={},
    ),
    Fault("WeighbridgeEvaluationQueuedTooLong", {series(WAITING, "v7"): "_x10 600x3000"}, fires="77m", silent="74m"),
    Fault(
        "WeighbridgeRegistryUnreachable",
        {
            **without("modelregistry_ready"),
            series("weighbridge_modelregistry_ready", "mlflow", reason="RegistryUnavailable"): "_x10 0x4 stale",
            series("weighbridge_modelregistry_ready", "mlflow", reason="RateLimited"): "_x15 0x3000",
        },
        fires="21m",
        silent="19m",
        labels={"namespace": "fraud", "name": "mlflow"},
    ),
    Fault(
        "WeighbridgeRegistryRateLimited",
        {f'{REQUESTS}{{registry="huggingFace",operation="model",outcome="RateLimited"}}': "0x9 0+1x3000"},
        fires="45m",
        silent="39m",
        labels={"registry": "huggingFace"},
    ),
    Fault(
        "WeighbridgeWriteBackWaiting",
        {series(UNWRITTEN, who): "_x10 600x3000" for who in ("v6", "v7")},
        fires="82m",
        silent="79m",
        labels={"namespace": "fraud"},
    ),
    Fault(
        "WeighbridgeReconcileErrors",
        {
            **without('outcome="failed"'),
            'weighbridge_reconcile_total{kind="ModelVersion",outcome="unavailable",pod="a"}': "0x9 0+20x3000",
        },
        fires="26m",
        silent="19m",
        labels={"kind": "ModelVersion"},
    ),
    Fault(
        "WeighbridgeUnexpectedErrors",
        {**without("unexpected"), 'weighbridge_unexpected_errors_total{kind="ModelVersion",pod="a"}': "0x9 1x3000"},
        fires="12m",
        silent="40m",
        labels={"kind": "ModelVersion"},
    ),
    Fault(
        "WeighbridgeLabelsNotHonored",
        {
            'weighbridge_modelversion_phase{exported_namespace="fraud",namespace="ops",name="v7",phase="Serving"}': "_x10 1x3000",
            'weighbridge_modelversion_last_check_timestamp_seconds{namespace="ops",name="v7"}': "0+60x3000",
        },
        fires="21m",
        silent="19m",
        labels={},
    ),
    Fault("WeighbridgeOperatorDown", dict.fromkeys(BASE), fires="6m", silent="4m", labels={}),
    Fault(
        "WeighbridgeNoLeader",
        {'weighbridge_leader{pod="a"}': "1x9 0x3000", 'weighbridge_leader{pod="b",namespace="another-install"}': "1x3000"},
        fires="13m",
        silent="11m",
        labels={},
    ),
)
HEALTHY: tuple[Mapping[str, str | None], ...] = (
    {},
    # What was replaced, refused or archived may be revoked: nobody is hurt.
    {**drift("Revoked", "v6"), **drift("Revoked", "v1")},
    phase("v6", ("Superseded", "1x9 stale"), ("Archived", "_x10 1x3000")),
    # A promotion that takes its time, and one after the other.
    phase("v7", ("Evaluating", "1x60 stale"), ("Promoting", "_x61 1x19 stale"), ("Serving", "_x81 1x3000")),
    # Writes fail now and then; a registry that takes none is no fault.
    {f'{REQUESTS}{{operation="write",outcome="RegistryUnavailable",pod="a"}}': "0+1x3000"},
    {**without(REQUESTS), f'{REQUESTS}{{operation="write",outcome="WriteBackUnsupported",pod="a"}}': "0+1x3000"},
    # One evaluation breaks, and one registry hiccups.
    {f'{ATTEMPTS}{{outcome="EngineFailed",pod="a"}}': "0x9 1x3000"},
    {
        **without("modelregistry_ready"),
        series("weighbridge_modelregistry_ready", "mlflow", reason="RegistryUnavailable"): "_x10 0x5 stale",
        series("weighbridge_modelregistry_ready", "mlflow", reason="Reachable"): "1x9 stale _x5 1x3000",
    },
    # Only the versions that are to serve are to be approved.
    {series(CONDITION, "v1", type="Approved", reason="ApprovalRequired"): "0x3000"},
    # Leadership goes over to the other replica.
    {'weighbridge_leader{pod="a"}': "1x9 0x3000", 'weighbridge_leader{pod="b"}': "0x10 1x3000"},
)


def rules() -> dict[str, Rule]:
    return {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}


def promtool(folder: Path, *tests: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """Runs tests of the rules, each a set of series and what is expected of it."""
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": list(tests)}))
    command: list[str | Path] = [ROOT / "e2e" / "tools" / "promtool", "test", "rules", file]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)


def case(changes: Mapping[str, str | None], *expected: Mapping[str, Any]) -> dict[str, Any]:
    there = {name: values for name, values in {**BASE, **changes}.items() if values is not None}
    samples = [{"series": name, "values": values} for name, values in there.items()]
    return {"interval": "1m", "input_series": samples, "alert_rule_test": list(expected)}


def told(rule: Rule, labels: Mapping[str, str]) -> dict[str, Any]:
    """The alert as it arrives: every label its texts name has to be there, or they would have gaps."""
    filled = {
        key: re.sub(r"{{ \$labels\.(\w+) }}", lambda found: labels[found[1]], text).replace("{{ $value }}", "1")
        for key, text in rule["annotations"].items()
    }
    assert not any("{{" in text for text in filled.values())
    return {"exp_labels": {"severity": rule["labels"]["severity"], **labels}, "exp_annotations": filled}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.alert}-{fault.fires}")
def test_it_alone_fires_under_its_fault(fault: Fault, tmp_path: Path) -> None:
    fires = {"alertname": fault.alert, "eval_time": fault.fires, "exp_alerts": [told(rules()[fault.alert], fault.labels)]}
    silent = {"alertname": fault.alert, "eval_time": fault.silent, "exp_alerts": []}
    others = [{"alertname": alert, "eval_time": fault.fires, "exp_alerts": []} for alert in rules() if alert != fault.alert]
    done = promtool(tmp_path, case(fault.series, fires, silent, *others))
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize("changes", HEALTHY)
def test_in_health_all_are_silent(changes: Mapping[str, str | None], tmp_path: Path) -> None:
    times = ("1m", "9m", "15m", "45m", "2h") if changes else ("1m", "26h")
    silent = [{"alertname": alert, "eval_time": time, "exp_alerts": []} for alert in rules() for time in times]
    done = promtool(tmp_path, case(changes, *silent))
    assert done.returncode == 0, done.stderr + done.stdout


def test_prometheus_takes_the_rules() -> None:
    command: list[str | Path] = [ROOT / "e2e" / "tools" / "promtool", "check", "rules", "--lint-fatal", RULES]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_chart_gives_them_to_the_prometheus_operator() -> None:
    def rendered(*values: str) -> list[dict[str, Any]]:
        settings = [part for value in values for part in ("--set", value)]
        command: list[str | Path] = [
            ROOT / "e2e" / "tools" / "helm",
            "template",
            "weighbridge",
            ROOT / "charts" / "weighbridge",
            *settings,
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        return [each for each in yaml.safe_load_all(done.stdout) if each and each["kind"] == "PrometheusRule"]

    assert rendered() == []
    wiki = "https://wiki.example.com/runbooks"
    (rule,) = rendered("prometheusRule.enabled=true", "prometheusRule.labels.release=monitoring", f"prometheusRule.runbooks={wiki}")
    assert rule["spec"] == yaml.safe_load(RULES.read_text().replace("https://weighbridge.dev/runbooks", wiki))
    assert rule["metadata"]["labels"]["release"] == "monitoring"


@pytest.mark.parametrize(
    ("changes", "guard"),
    [
        (dict.fromkeys(BASE), "WeighbridgeOperatorDown"),
        ({'weighbridge_leader{pod="a"}': "1x9 0x3000"}, "WeighbridgeNoLeader"),
        ({**without("last_check")}, "WeighbridgeChecksStale"),
    ],
    ids=["down", "no leader", "not looked at"],
)
def test_no_drift_is_never_the_word_of_an_operator_that_does_not_look(
    changes: Mapping[str, str | None], guard: str, tmp_path: Path
) -> None:
    def labels(alert: str) -> list[dict[str, Any]]:
        who = ("v6", "v7") if alert == "WeighbridgeChecksStale" else ()
        each = [{"namespace": "fraud", "name": name} for name in who] or [{}]
        return [told(rules()[alert], found) for found in each]

    expected = {"alertname": guard, "eval_time": "30m", "exp_alerts": labels(guard)}
    done = promtool(tmp_path, case(changes, expected))
    assert done.returncode == 0, done.stderr + done.stdout


def test_every_rule_has_a_test() -> None:
    assert {fault.alert for fault in FAULTS} == set(rules())


@pytest.mark.parametrize("alert", sorted(rules()))
def test_every_rule_tells_what_to_do(alert: str) -> None:
    rule = rules()[alert]
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["runbook_url"] == f"https://weighbridge.dev/runbooks/{alert}.md"
    runbook = (RUNBOOKS / f"{alert}.md").read_text()
    assert re.match(rf"# {alert}\n\n```\n\w", runbook), "it starts with the command to type"


def test_there_is_no_runbook_for_nothing() -> None:
    assert {each.stem for each in RUNBOOKS.glob("*.md")} == set(rules())


def exposed() -> dict[str, set[str]]:
    """The operator's metrics as they are scraped, with their labels; `exported_namespace` is what Prometheus may make of one."""
    catalogue = Metrics(Queue[object](lambda key: key), ObjectStore()).catalogue
    return {series.name: {*series.labels, "exported_namespace"} for series in catalogue}


SELECTOR = re.compile(r"(weighbridge_\w+)(?:{([^}]*)})?")
MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"')


@pytest.mark.parametrize("alert", sorted(rules()))
def test_every_rule_asks_for_what_the_operator_tells(alert: str) -> None:
    metrics, words = exposed(), _words()
    for metric, matchers in SELECTOR.findall(rules()[alert]["expr"]):
        assert metric in metrics
        for label, values in MATCHER.findall(matchers):
            assert label in metrics[metric]
            assert set(values.split("|")) <= words, "a word that the operator never says"


def _words() -> set[str]:
    """All texts in the operator's code."""
    trees = (ast.parse(path.read_text()) for path in (ROOT / "operator").rglob("*.py"))
    return {
        node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
