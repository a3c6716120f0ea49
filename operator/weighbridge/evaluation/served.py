"""Whether a server of OpenAI's interface says that it serves the pinned model. Asks `GET <endpoint>/models`, once."""

import json
import urllib.error
import urllib.request

from .refusal import Refusal
from .task import EXIT_MISCONFIGURED, EXIT_REGISTRY_FAILED, EXIT_SUBJECT_CHANGED, Task

_TIMEOUT = 30.0
"""Seconds."""
_LIMIT = 1 << 20
"""Bytes of its answer that are read."""


def prove_served(task: Task, endpoint: str, called: str) -> str:
    """The name the server knows the model by: `called` with `{name}`, `{version}` and `{digest}` filled in.

    Raises Refusal where the server does not list it: nobody knows then what would be measured.
    """
    if not endpoint.startswith(("http://", "https://")):
        raise Refusal(EXIT_MISCONFIGURED, "spec.evaluator.parameters.endpoint must be an address like http://server:8000/v1")
    name = called
    for key, value in (("name", task.model.name), ("version", task.model.version), ("digest", task.subject.digest)):
        name = name.replace(f"{{{key}}}", value)
    listed = _listed(endpoint)
    if name not in listed:
        others = ", ".join(sorted(listed))[:300] or "none"
        hint = "serve it under that name, or set evaluator.parameters.servedModel to how it is called"
        text = f"the endpoint does not serve {name}; it lists {others}: {hint}"
        raise Refusal(EXIT_SUBJECT_CHANGED, text)
    return name


def _listed(endpoint: str) -> set[str]:
    try:
        with urllib.request.urlopen(f"{endpoint.rstrip('/')}/models", timeout=_TIMEOUT) as answer:  # noqa: S310 (checked above)
            said = json.loads(answer.read(_LIMIT))
        return {str(each["id"]) for each in said["data"]}
    except urllib.error.HTTPError as error:
        raise Refusal(EXIT_REGISTRY_FAILED, f"the endpoint answered {error.code} when asked for its models") from error
    except OSError as error:
        raise Refusal(EXIT_REGISTRY_FAILED, "the endpoint cannot be reached") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Refusal(EXIT_MISCONFIGURED, "the endpoint's list of models is not one of OpenAI's interface") from error
