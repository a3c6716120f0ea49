"""What a command said, and the way it is typed."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Mapping[str, Any]:
        """What `-o json` printed."""
        return dict(json.loads(self.out))


Type = Callable[..., Awaitable[Said]]
