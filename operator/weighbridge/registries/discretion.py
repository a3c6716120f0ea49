"""The last look before anything a registry said goes further: credentials that it gives back stay here.

A registry, or what stands in front of it, may put what it was sent into anything: error texts, names, lists of files. Adapters
write their own sentences, but with names from answers in them; so both are looked through for the very credentials that were used,
and so is the traceback, which is all that is ever logged of an exception.
"""

import base64
import logging
import traceback
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote, quote_plus

from .base import RegistryAbsent, RegistryFailed
from .credentials import Credentials

T = TypeVar("T")

_SHORTEST = 12
"""Characters. What is shorter may be part of a name by chance; MLflow takes no shorter passwords, and no token is."""
_HIDDEN = "(hidden)"
_TALKATIVE = ("urllib3", "httpx2", "httpcore2", "huggingface_hub")
"""Loggers of libraries that warn of a strange answer by printing it."""

logger = logging.getLogger(__name__)


class Discretion:
    """Knows what must not be told about one set of credentials."""

    def __init__(self, credentials: Credentials | None) -> None:
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        values = dict(credentials or {})
        names = [value for key, value in values.items() if key.endswith("USERNAME")]
        secrets = {value for key, value in values.items() if not key.endswith("USERNAME") and len(value) >= _SHORTEST}
        pairs = {base64.b64encode(f"{name}:{secret}".encode()).decode() for name in names for secret in secrets}
        # The longest first: one may be part of another.
        self._secrets = sorted({shape for each in secrets | pairs for shape in _shapes(each)}, key=len, reverse=True)

    def listen(self, operation: str, work: Callable[[], T]) -> T:
        """What `work` gives. Raises RegistryAbsent and RegistryFailed, with nothing to tell that is not public, for everything that
        goes wrong."""
        try:
            value = work()
        except RegistryAbsent as error:
            raise RegistryAbsent(error.reason, self.hide(error.public)) from None
        except RegistryFailed as error:
            logger.debug("%s: %s\n%s", operation, self.hide(error.public), self._trace(error))
            raise type(error)(error.reason, self.hide(error.public), error.retry_after) from None
        except Exception as error:
            logger.debug("%s\n%s", operation, self._trace(error))
            message = "the operator stumbled over what the registry said; its log at level debug tells more, please report it"
            raise RegistryFailed("AdapterFailed", message) from None
        if self._betrayed_by(value):
            message = "the registry gives back the credentials it was sent, so its answer is not used; see what is in front of it"
            raise RegistryFailed("RegistryMisconfigured", message)
        return value

    def hide(self, text: str) -> str:
        """The text without them."""
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return text

    def _betrayed_by(self, value: object) -> bool:
        text = repr(value) if self._secrets else ""
        return any(secret in text for secret in self._secrets)

    def _trace(self, error: BaseException) -> str:
        """The traceback of an error and its causes."""
        return self.hide("".join(traceback.format_exception(error)))


def _shapes(secret: str) -> set[str]:
    """As it is, and as it looks inside a representation or a URL."""
    return {secret, repr(secret)[1:-1], quote(secret), quote(secret, safe=""), quote_plus(secret)}
