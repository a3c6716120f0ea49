"""How far the harness is: it asks a model everything of one kind at once, and each answer passes the model's cache hook."""

import time
from collections.abc import Callable
from typing import Any

_KINDS = ("loglikelihood", "loglikelihood_rolling", "generate_until")
_SELDOM = 5.0
"""Seconds between two tellings."""


class Counting:
    """Stands where the harness's cache would: hears of every answer and keeps none."""

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        self._tell, self._done, self._total, self._told = tell, 0, 0, 0.0

    def watch(self, model: Any) -> None:
        """Counts the answers of this model from now on."""
        model.set_cache_hook(self)
        for kind in _KINDS:
            setattr(model, kind, self._announced(getattr(model, kind)))

    def add_partial(self, *_: Any) -> None:
        """One answer, in the harness's own words."""
        # Some kinds of questions are answered in several parts.
        self._done = min(self._done + 1, self._total)
        if time.monotonic() - self._told >= _SELDOM:
            self._told = time.monotonic()
            self._tell(self._done, self._total)

    def _announced(self, ask: Callable[..., Any]) -> Callable[..., Any]:
        def announced(requests: Any, *arguments: Any, **options: Any) -> Any:
            before = self._total
            self._total += len(requests)
            answers = ask(requests, *arguments, **options)
            self._done = before + len(requests)
            self._tell(self._done, self._total)
            return answers

        return announced
