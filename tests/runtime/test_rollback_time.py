"""The benchmark in small, with bounds that a busy machine keeps too: what it says is that nothing waits for anything."""

import pytest
from benchmarks.rollback import measure
from tests.apiserver import ApiServer


async def test_a_rollback_takes_a_moment_also_while_others_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with ApiServer() as server:
        idle, busy = await measure(server, count=8, others=600)
    assert idle.percentile(0.5) < 1.0, str(idle)
    assert busy.percentile(0.5) < 2.5, str(busy)
    assert "pages listed meanwhile" in capsys.readouterr().out
