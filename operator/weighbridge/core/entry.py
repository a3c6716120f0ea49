"""What a version's entry in its registry should say, from what is observed of it; and who else of ours says something there.

One registry version may have several ModelVersions (a staging namespace and a production one), and its entry has one set of tags.
So a tag names the writer, and the others leave the tags alone; who serves goes before who does not.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..api.base import GROUP
from ..api.modelregistry import Stage
from ..api.modelversion import ModelVersion
from ..api.references import ModelPin
from ..api.versionstatus import EvaluationState, ServingState
from .facts import WriteOrder
from .stages import entries, target_name

PREFIX = f"{GROUP}/"
"""Of own tags: all that is ever written, changed or read back."""
BY, STATE = f"{PREFIX}by", f"{PREFIX}state"
NONE = "none"
"""Value of an own tag that says nothing any more: to delete a tag takes more rights than to write one."""
_STANDING = tuple(f"{PREFIX}{key}" for key in ("reason", "since", "state", "target", "traffic", "until"))
_LONGEST_TAG = 500
_BY_RANK: tuple[Stage, ...] = ("Production", "Staging", "Candidate", "Archived")


def wanted(
    version: ModelVersion,
    pin: ModelPin,
    evaluations: tuple[EvaluationState, ...],
    serving: tuple[ServingState, ...],
    aliases: Mapping[Stage, str],
) -> WriteOrder:
    """The entry as it should be. Nothing is told before there is a verdict or a standing on a target; while a rollout is under way
    the entry goes on saying what was proved last."""
    last, texts = version.status.registry, dict[str, str]()
    verdicts = [f"{state.name}: {state.verdict}" for state in evaluations if state.verdict is not None]
    if verdicts:
        texts["verdict"] = ", ".join(verdicts)
    between = not _proved(serving) and any(state.state == "Progressing" for state in serving)
    if not between:
        texts |= _standing(version, serving)
    tags = {f"{PREFIX}{key}": text for key, text in texts.items()}
    if between:
        tags |= {key: last.tags[key] for key in _STANDING if key in last.tags}
    if tags:
        tags |= {BY: writer(version), f"{PREFIX}digest": pin.digest}
    stage = next((each for each in _BY_RANK if each in stages_served(version, serving)), None)
    alias = aliases.get(stage) if stage is not None else (last.alias or None) if between else None
    return WriteOrder(pin=pin, tags={key: text[:_LONGEST_TAG] for key, text in sorted(tags.items())}, alias=alias)


def writer(version: ModelVersion) -> str:
    """How a version signs its tags."""
    return f"{version.metadata.namespace}/{version.metadata.name}"


def other_writer(
    version: ModelVersion, pin: ModelPin, said: Mapping[str, str], siblings: Iterable[ModelVersion], *, serves: bool
) -> str:
    """Another ModelVersion whose tags these are; empty where this one may write them: nobody signed, the signer is gone (seen in
    this namespace only), or this version serves and what is written says that the signer does not."""
    namespace, _, name = said.get(BY, "").partition("/")
    if not namespace or not name or f"{namespace}/{name}" == writer(version):
        return ""
    if serves and said.get(STATE) != "Serving":
        return ""
    if namespace == version.metadata.namespace and not any(each.metadata.name == name and _of(each, pin) for each in siblings):
        return ""
    return f"{namespace}/{name}"


def stages_served(version: ModelVersion, serving: Iterable[ServingState]) -> set[Stage]:
    """The stages in which it is proved to serve."""
    proved = {state.target for state in serving if state.state == "Serving"}
    return {entry.stage for entry in entries(version) if target_name(entry.target_ref) in proved}


def other_server(pin: ModelPin, stage: Stage, siblings: Iterable[ModelVersion]) -> str:
    """Another version of the same model that serves in the stage, and has its alias by right; empty where there is none."""
    return next((writer(each) for each in _serving_in(stage, pin, siblings) if not _of(each, pin)), "")


def left_alias(
    version: ModelVersion,
    pin: ModelPin,
    serving: Sequence[ServingState],
    aliases: Mapping[Stage, str],
    *,
    pointing: frozenset[str],
    siblings: Iterable[ModelVersion],
) -> str:
    """An alias that still points at a version which served and does so no more, with nobody to take it: told, in a sentence, and
    left where it is, since an alias that points nowhere helps nobody. Empty where there is none."""
    others = tuple(siblings)
    if not any(each.event == "Serving" for each in version.status.history):
        return ""
    given_up = {state.target for state in serving if state.state == "RolledBack"}
    at_work = {entry.stage for entry in entries(version) if target_name(entry.target_ref) not in given_up}
    for stage, alias in sorted(aliases.items()):
        claimed = any(entry.stage == stage for entry in version.spec.serving)
        if alias in pointing and claimed and stage not in at_work and not any(_serving_in(stage, pin, others)):
            return f"alias {alias} still points at this version, though none serves in {stage} any more: promote one, or move it"
    return ""


def _serving_in(stage: Stage, pin: ModelPin, siblings: Iterable[ModelVersion]) -> Iterator[ModelVersion]:
    """Those of the same model that serve in the stage."""
    for each in siblings:
        theirs = each.status.resolved
        same = theirs is not None and (theirs.registry, theirs.name) == (pin.registry, pin.name)
        if same and stage in stages_served(each, each.status.serving):
            yield each


def _proved(serving: Iterable[ServingState]) -> bool:
    return any(state.state in ("Serving", "RolledBack", "Superseded") for state in serving)


def _standing(version: ModelVersion, serving: tuple[ServingState, ...]) -> dict[str, str]:
    """Where it serves or served, since and until when, with how much of the traffic, and why not any more; of several targets those
    with the same standing, serving first."""
    ranked = [(word, [each for each in serving if each.state == word]) for word in ("Serving", "RolledBack", "Superseded")]
    # What has lost its claim after it served (a failed evaluation, say) is none of these, and yet was replaced.
    ranked.append((NONE, [each for each in serving if each.until is not None]))
    word, held = next(((word, found) for word, found in ranked if found), ("", []))
    if not held:
        return {}
    told = version.status.registry.tags.get(f"{PREFIX}since", "")
    since = min((each.since for each in held if each.since is not None), default=None)
    until = max((each.until for each in held if each.until is not None), default=None)
    reason = next((f"{each.rejection.reason}: {each.rejection.message}" for each in held if each.rejection is not None), "")
    texts = {
        "state": word,
        "target": ", ".join(f"{version.metadata.namespace}/{each.target}" for each in held),
        "traffic": "100%" if word == "Serving" else "0%",
        "since": since.isoformat() if since is not None else told if word != "Serving" else "",
        "until": until.isoformat() if until is not None and word != "Serving" else "",
        "reason": reason if word == "RolledBack" else "",
    }
    return {key: text for key, text in texts.items() if text}


def _of(version: ModelVersion, pin: ModelPin) -> bool:
    """Whether it may be a ModelVersion of this registry version."""
    theirs = version.status.resolved
    return theirs is None or (theirs.name, theirs.version) == (pin.name, pin.version)
