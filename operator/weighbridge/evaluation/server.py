"""The MLflow server that full reports lie on, over its REST interface: where, and with which credentials.

MLflow's client takes four times the memory, follows links, and retries for minutes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import requests

API = "/api/2.0/mlflow"
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
SILENCE = (10.0, 60.0)
"""Seconds without a connection, or without a byte."""
PAUSES = (1.0, 5.0)
"""Seconds between tries."""
ANSWER = 1 << 20
"""Bytes of an answer that are read."""
FOLDER_NAME, SUMS_NAME = "report", "sha256sums.txt"
"""What the artifacts of a run are called: the folder of the engine's files, and the list of all with their SHA-256."""


@dataclass(frozen=True)
class Server:
    """An MLflow server, and what may write there; credentials by the names of their variables."""

    url: str
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)

    def session(self) -> requests.Session:
        """A session with the credentials."""
        session = requests.Session()
        # No proxies and no ~/.netrc: credentials go to the ModelRegistry's address alone.
        session.trust_env = False
        user, password, token = (self.credentials.get(f"MLFLOW_TRACKING_{key}", "") for key in ("USERNAME", "PASSWORD", "TOKEN"))
        if user and password:
            session.auth = (user, password)
        elif token:
            session.headers["Authorization"] = f"Bearer {token}"
        return session


def served_at(artifact_uri: str) -> str | None:
    """The path below which the server itself serves a run's artifacts; None where it keeps them elsewhere."""
    place = urlsplit(artifact_uri)
    return f"{_ARTIFACTS}/{quote(place.path.strip('/'))}" if place.scheme == "mlflow-artifacts" else None
