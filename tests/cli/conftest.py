"""A terminal: commands are typed with an administrator's kubeconfig unless a test gives another one."""

import asyncio
from pathlib import Path

import pytest

from tests.cli.said import Said, Type
from tests.cli.stage import Stage
from tests.conftest import RealServer
from weighbridge.cli import main
from weighbridge.runtime.connection import Connection


@pytest.fixture
def typed(api_server: RealServer, namespace: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Types a command for the test's namespace, or for those that it names itself."""
    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig))

    async def typed(*arguments: str, kubeconfig: Path | None = None, everywhere: bool = False) -> Said:
        if kubeconfig is not None:
            monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        capsys.readouterr()
        try:
            code = await asyncio.to_thread(main, [*arguments, *([] if everywhere else ["-n", namespace])])
        except SystemExit as error:  # argparse
            code = int(error.code or 0)
        told = capsys.readouterr()
        return Said(code, told.out, told.err)

    return typed


@pytest.fixture
def stage(connection: Connection, namespace: str) -> Stage:
    return Stage(connection, namespace)
