"""`weighbridge let-go`: takes Weighbridge's finalizer off ModelVersions once no operator is left that would.

Else what an uninstalled operator held could never be deleted, nor could its namespace. An operator that still runs takes a version
back at once, so this ends only when nobody did for a while. Must not change anything else: what serves goes on serving.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..api.base import API_VERSION, GROUP
from ..api.modelversion import FINALIZER, ModelVersion
from ..controllers.ports import ClusterError
from ..runtime.cluster import Cluster
from ..runtime.refusal import Conflict, Forbidden, Invalid, NotFound, Unavailable
from .answers import DONE, REFUSED, UNKNOWN, complain, duration
from .places import CannotTell, Misused, connected, told

_KIND, _PLURAL = ModelVersion.info.kind, ModelVersion.info.plural
_LOOK = 1.0
"""Seconds between two looks."""
_NAMED = 5


@dataclass
class Look:
    """What one look over all versions found."""

    versions: int = 0
    held: set[str] = field(default_factory=set)
    """Those that had the finalizer, as namespace/name."""
    refused: dict[str, str] = field(default_factory=dict)
    """Those that the cluster does not let us change, and why."""


def add(parser: argparse.ArgumentParser, _: str) -> None:
    """What the command takes."""
    parser.description = (
        "Takes Weighbridge's finalizer off every ModelVersion, and looks until nobody puts it back. What serves goes on "
        "serving. For clusters and namespaces without an operator; one that runs lets go by itself. "
        "Exit status: 0 done, 1 refused, 3 cannot be told now or an operator still works there, 2 wrong usage."
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "-n", "--namespace", metavar="NS", action="append", help="namespace, may be repeated (default: the kubeconfig's)"
    )
    where.add_argument("-A", "--all-namespaces", action="store_true", help="every namespace")
    parser.add_argument(
        "--settle", metavar="TIME", default="30s", help="how long nobody may have put it back, at least a lease (default: 30s)"
    )
    parser.add_argument("--timeout", metavar="TIME", default="2m", help="when to give up (default: 2m)")


def main(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    try:
        settle, patience = duration("--settle", options.settle), duration("--timeout", options.timeout)
        look, ours = asyncio.run(_run(options, settle, patience))
    except Misused as error:
        return complain(str(error))
    except CannotTell as error:
        return complain(str(error), UNKNOWN)
    if look.refused:
        name, why = min(look.refused.items())
        return complain(f"{len(look.refused)} ModelVersions could not be let go of; {name}: {why}", REFUSED)
    if look.held:
        who = "an operator still works there: uninstall it first, or leave them to it"
        return complain(f"ModelVersions are taken back again and again ({_few(look.held)}); {who}", UNKNOWN)
    sys.stdout.write(f"let go of {ours} ModelVersions, of {look.versions} there are; what they serve stays as it is\n")
    return DONE


async def _run(options: argparse.Namespace, settle: float, patience: float) -> tuple[Look, int]:
    if any(not each.strip() for each in options.namespace or ()):  # an unset variable; no namespace would mean all of them
        raise Misused("-n is empty: name a namespace, or say -A for all of them")
    async with connected((options.namespace or [""])[0], os.environ) as (connection, here):
        where: list[str | None] = [None] if options.all_namespaces else [*(options.namespace or [here])]
        clock = asyncio.get_running_loop().time
        try:
            return await let_go(Cluster(connection), where, settle, patience, clock)
        except Forbidden as error:
            text = f"you may not list and patch {_PLURAL}.{GROUP} there: ask for the right to, or name other namespaces with -n"
            raise CannotTell("Forbidden", text) from error
        except ClusterError as error:
            raise told(error, "ModelVersions") from error


async def let_go(
    cluster: Cluster, namespaces: list[str | None], settle: float, patience: float, clock: Callable[[], float]
) -> tuple[Look, int]:
    """The last look, and how many versions were let go of. It ends when nobody has held one for `settle` seconds, at once where
    there are no versions, and after `patience` seconds in any case; None is every namespace. Raises ClusterError."""
    over, quiet = clock() + patience, clock()
    ours: set[str] = set()
    while True:
        try:
            look = await _look(cluster, namespaces, ours)
        except Unavailable:
            if clock() >= over:
                raise
            look = Look(versions=1, held={"unknown"})
        now = clock()
        quiet = now if look.held else quiet
        settled = not look.held and now - quiet >= settle
        if not look.versions or look.refused or settled or now >= over:
            return look, len(ours)
        await asyncio.sleep(_LOOK)


async def _look(cluster: Cluster, namespaces: list[str | None], ours: set[str]) -> Look:
    """Looks at every version once, and lets go of those that are held."""
    look = Look()
    for namespace in namespaces:
        try:
            async for page in cluster.pages(API_VERSION, _KIND, namespace):
                for body in page.items:
                    look.versions += 1
                    await _let_go_of(cluster, body["metadata"], look, ours)
        except NotFound:
            continue  # the kind is gone, and all versions with it
    return look


async def _let_go_of(cluster: Cluster, metadata: dict[str, Any], look: Look, ours: set[str]) -> None:
    finalizers = metadata.get("finalizers") or []
    if FINALIZER not in finalizers:
        return
    namespace, name = metadata["namespace"], metadata["name"]
    where = f"/metadata/finalizers/{finalizers.index(FINALIZER)}"
    look.held.add(f"{namespace}/{name}")
    try:
        # Only ours: where another one stands there by now, nothing is changed and the next look finds it.
        patch = [{"op": "test", "path": where, "value": FINALIZER}, {"op": "remove", "path": where}]
        await cluster.json_patch(API_VERSION, _KIND, namespace, name, patch)
    except (Conflict, NotFound):
        return
    except Invalid as error:
        look.refused[f"{namespace}/{name}"] = error.public
        return
    ours.add(f"{namespace}/{name}")


def _few(names: set[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(sorted(names)[:_NAMED]) + more
