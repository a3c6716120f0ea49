"""What the API server's refusals mean, as errors with text for people. Pure: status code and Status object in, error out.

The server's own message is shown only where it is written for users (validation and admission); it is cut to a fixed length.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..controllers.ports import ClusterError

_LONGEST = 512
_VERBS = {"GET": "read", "POST": "create", "PATCH": "change", "PUT": "change", "DELETE": "delete"}
_PATCH_DOES_NOT_FIT = "error in our request"
"""How the server says that an operation of a JSON patch failed: mostly a `test`."""
_WHOLE_OBJECT = "patch: Invalid value:"
"""What the server puts before all of an object that a patch would make invalid."""
_RBAC = re.compile(r'User "[^"]*" cannot ')


class Unavailable(ClusterError):
    """No answer, or an answer that says: later."""


class Unauthenticated(ClusterError):
    """The credentials are not taken (any more)."""


class Forbidden(ClusterError):
    """The operator's role lacks the right."""


class NotFound(ClusterError):
    """The object, its kind or its namespace is not there."""


class Conflict(ClusterError):
    """The object has changed since it was seen."""


class AlreadyExists(ClusterError):
    """The name is taken."""


class Invalid(ClusterError):
    """Validation or admission said no."""


def refusal(code: int, status: Mapping[str, Any], retry_after: str | None, method: str, path: str) -> ClusterError:
    """The error for an answer that is no success."""
    said = str(status.get("message", ""))[:_LONGEST]
    what = f"{_VERBS.get(method, 'use')} {subject(path)}"
    match code:
        case 401:
            return Unauthenticated("Unauthorized", "the API server does not take the operator's credentials")
        case 403 if not said or _RBAC.search(said):
            return Forbidden("Forbidden", f"the operator may not {what}: grant it to the operator's service account")
        case 403:
            return Invalid("AdmissionDenied", f"the cluster does not allow to {what}: {said}")
        case 404:
            return NotFound("NotFound", f"cannot {what}: it does not exist")
        case 409 if status.get("reason") == "AlreadyExists":
            return AlreadyExists("AlreadyExists", f"cannot {what}: the name is taken")
        case 409:
            return Conflict("Conflict", f"cannot {what}: it has changed meanwhile")
        case 422 if method == "PATCH" and said.endswith(_PATCH_DOES_NOT_FIT):
            return Conflict("Conflict", f"cannot {what}: it has changed meanwhile")
        case 422 if _WHOLE_OBJECT in said:
            return Invalid("Invalid", f"the API server does not take it ({what}): the value does not fit the field")
        case 400 | 413 | 415 | 422:
            return Invalid("Invalid", f"the API server does not take it ({what}): {said or 'no reason given'}")
        case _:
            seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
            return Unavailable("ApiServerUnavailable", f"the API server could not {what} now (HTTP {code})", seconds)


@dataclass(frozen=True)
class Subject:
    """What a request is about."""

    resource: str
    """Plural, with the subresource."""
    name: str
    namespace: str

    def __str__(self) -> str:
        """`jobs "b" in namespace "a"`."""
        name = f' "{self.name}"' if self.name else ""
        return self.resource + name + (f' in namespace "{self.namespace}"' if self.namespace else "")


def subject(path: str) -> Subject:
    """What a path of the API names, e.g. `/apis/batch/v1/namespaces/a/jobs/b`."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    plural, name, sub = (*rest, "", "", "")[:3]
    return Subject(plural + (f"/{sub}" if sub else ""), name, namespace)
