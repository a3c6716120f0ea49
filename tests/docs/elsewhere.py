"""Commands that an API server alone cannot answer, and the test that shows each of them."""

import re

ELSEWHERE = {
    r"kubectl logs -n weighbridge-system deployment/weighbridge": (
        "e2e/test_4_preflight.py::test_a_missing_model_falls_back_and_says_so_everywhere"
    ),
    r"curl -i http://weighbridge-webhooks": (
        "tests/runtime/test_alerts.py::test_a_firing_alert_is_written_and_its_version_is_looked_at_first"
    ),
}
"""What a command begins with, as a pattern, and where it is shown."""


def elsewhere(command: str) -> str | None:
    """The test that shows a command which cannot run here."""
    return next((test for pattern, test in ELSEWHERE.items() if re.match(pattern, command)), None)
