"""Versions and evaluations on a real API server, as the real decisions left them in the small world."""

from collections.abc import Mapping
from typing import Any

from tests.core.world import Behaviour, World
from weighbridge.api.base import API_VERSION
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection


class Stage:
    """Brings a small world, in which the real decisions were made, into the API server as it is."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self.connection, self.namespace = connection, namespace

    async def bring(self, world: World) -> None:
        for kind, things in (("ModelVersion", world.versions), ("EvaluationJob", world.evaluations)):
            for thing in things.values():
                made = thing.to_json()
                metadata = {"name": thing.metadata.name, "namespace": self.namespace, "annotations": thing.metadata.annotations}
                spec = made["spec"]
                for each in [spec, *(each["template"] for each in spec.get("evaluations", []))]:
                    if "gate" in each:  # the small world's evaluations are smaller than the schema lets them be
                        each["evaluator"] = {"engine": "container", "image": "engine:1"}
                await self._put({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}, made["status"])

    async def _put(self, body: dict[str, Any], status: Mapping[str, Any]) -> None:
        await Cluster(self.connection).create(body)
        where = f"/apis/{API_VERSION}/namespaces/{self.namespace}/{body['kind'].lower()}s/{body['metadata']['name']}/status"
        await self.connection.request("PATCH", where, body={"status": status}, content_type="application/merge-patch+json")


def settled(*numbers: str, **behaviours: Behaviour) -> World:
    """A world at rest with these versions; those that are not said otherwise are good."""
    world = World({number: behaviours.get(f"v{number}", Behaviour()) for number in numbers})
    for number in numbers:
        world.apply(number)
        world.settle()
    return world
