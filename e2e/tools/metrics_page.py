"""Writes docs/metrics.md: every metric as the code declares it, and the alerts that go by it."""

import re
import sys
from pathlib import Path

import yaml

from weighbridge.runtime.metrics import Metrics
from weighbridge.runtime.queue import Queue
from weighbridge.runtime.series import MOST_WORDS, Series
from weighbridge.runtime.store import ObjectStore

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"
RULES = ROOT / "charts" / "weighbridge" / "files" / "alerts.yaml"
HEAD = f"""# Metrics

What the operator serves on `/metrics` (port 8080). This page is generated from the code by `make generate`. How to scrape it:
[monitoring](monitoring.md).

**`honorLabels: true` is needed.** The label `namespace` of gauges over objects is that of the object. Prometheus gives every
sample of a scrape a `namespace` of its own, that of the pod it scraped; unless it is told to honour ours, it renames ours to
`exported_namespace`, and the rules and the dashboard group by the wrong one. The alert `WeighbridgeLabelsNotHonored` tells of
that.

**Restarts.** Counters and histograms begin at 0 with the process, which `rate` and `increase` know. Those of what became of
evaluations and versions are counted by whoever wrote the status, once; a step is missed where the operator ended, or the API
server's answer was lost, between the write and the count. Gauges over objects are computed from what the operator has in memory
at each scrape: right as soon as it is ready, and gone with their objects.

**Replicas.** Every replica tells the gauges over objects, also those that stand by: so take `max by (...)` over them, never
`sum`. Counters move in the replica that leads: take `sum`. `weighbridge_modelversion_last_check_timestamp_seconds` is told by the
leader alone.

**Labels.** Names and texts of users appear in gauges over objects only. Labels of counters hold words of the operator's own;
whatever else comes is counted as `Other`. A label without a closed list takes {MOST_WORDS} words at the most.

**GPU seconds.** Devices are whole ones of the engine's limits (`nvidia.com/gpu`, `amd.com/gpu`, `gpu.intel.com/...`); slices of
one are not counted. Time is that of the engine's container, and a pod that was never seen to run counts nothing, nor does one
whose EvaluationJob was deleted meanwhile. For how long refused evaluations would have held their GPUs nobody can know, so there
is no metric of it.
"""


def page() -> str:
    """The page's text."""
    catalogue = Metrics(Queue[object](lambda key: key), ObjectStore()).catalogue
    rules = [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
    parts = (
        ("Gauges over objects", [each for each in catalogue if each.objects]),
        ("What has become of them, and how the operator does", [each for each in catalogue if not each.objects]),
    )
    lines = [HEAD]
    for title, series in parts:
        lines += [f"## {title}\n", "| metric | type | labels | meaning | alerts |", "|---|---|---|---|---|"]
        lines += [_row(each, rules) for each in series]
        lines.append("")
    closed = {(name, tuple(words)) for each in catalogue for name, words in each.words.items()}
    lines += ["## Words of closed lists\n", "| label | words |", "|---|---|"]
    lines += [f"| `{name}` | {', '.join(f'`{word}`' for word in words)} |" for name, words in sorted(closed)]
    return "\n".join(lines) + "\n"


def _row(series: Series, rules: list[dict[str, str]]) -> str:
    asks = re.compile(rf"{series.name}(_bucket|_count|_sum)?\b")
    alerts = ", ".join(f"[{rule['alert']}](runbooks/{rule['alert']}.md)" for rule in rules if asks.search(rule["expr"]))
    labels = ", ".join(f"`{name}`" for name in series.labels)
    return f"| `{series.name}` | {series.kind} | {labels} | {series.text} | {alerts} |"


def main() -> int:
    """Writes the page, or checks it."""
    if sys.argv[1:] not in ([], ["--check"]):
        print("usage: e2e/tools/metrics [--check]", file=sys.stderr)
        return 2
    if sys.argv[1:] == []:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page():
        print("docs/metrics.md differs from the code: make generate", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
