"""Commands that an API server alone cannot answer, and the test that shows each of them."""

import re

ELSEWHERE = {
    r"kubectl logs -n weighbridge-system -l app\.kubernetes\.io/name=weighbridge": (
        "e2e/test_4_preflight.py::test_a_missing_model_falls_back_and_says_so_everywhere"
    ),
    r"curl -i http://weighbridge-webhooks": (
        "tests/runtime/test_alerts.py::test_a_firing_alert_is_written_and_its_version_is_looked_at_first"
    ),
    r"kubectl wait -n weighbridge-system --for=condition=Complete job/weighbridge-let-go": (
        "tests/chart/test_uninstall.py::test_every_version_can_be_deleted_and_nothing_else_is_touched"
    ),
    r"argocd app actions run fraud rollback ": "tests/argocd/test_argo_code.py::test_what_actions_do",
    r"docker (create --name look|cp look:/usr/share/sbom/|rm look$|inspect --format)": (
        "tests/images/test_images.py::test_every_image_runs_as_nobody_says_what_it_is_and_lists_what_is_in_it"
    ),
    r"docker run --rm --read-only weighbridge/operator ": (
        "e2e/test_7_delivery.py::test_installed_by_helm_with_defaults_the_demo_passes"
    ),
    r"docker run .* -c 'import pip'": "tests/images/test_images.py::test_nothing_that_builds_is_in_an_image",
}
"""What a command begins with, as a pattern, and where it is shown."""


def elsewhere(command: str) -> str | None:
    """The test that shows a command which cannot run here."""
    return next((test for pattern, test in ELSEWHERE.items() if re.match(pattern, command)), None)
