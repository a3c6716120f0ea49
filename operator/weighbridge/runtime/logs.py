"""The log: one line per event, as JSON or for people. Fields are given by name, so that no text has to be taken apart again.

Nothing here may print bodies of objects: what a line carries is decided where it is written.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

LOG = logging.getLogger("weighbridge")


def configure(form: str, level: str) -> None:
    """Sends all logging of the process to stderr in this form, from this level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    LOG.setLevel(level.upper())
    # What kopf has to say holds texts of exceptions; its supervisor tells what matters.
    logging.getLogger("kubernetes").setLevel(logging.ERROR)
    kopf = logging.getLogger("kopf")
    kopf.setLevel(logging.WARNING)
    kopf.addHandler(logging.NullHandler())
    kopf.propagate = level == "debug"


def event(level: int, name: str, **fields: Any) -> None:
    """One line about something that happened: a stable name, and what it was about."""
    LOG.log(level, name, extra={"fields": fields})


SILENT = logging.getLogger(f"{LOG.name}.silent")
"""For libraries that would log what strangers send, word by word."""
SILENT.disabled = True


class JsonLines(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, Any] = {"time": _time(record), "level": record.levelname.lower(), "event": record.getMessage()}
        if record.name != LOG.name:
            line["logger"] = record.name
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextLines(logging.Formatter):
    """For reading along."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, and a traceback below it where there is one."""
        fields = " ".join(f"{key}={value}" for key, value in getattr(record, "fields", {}).items())
        line = f"{_time(record)} {record.levelname:<7} {record.getMessage()} {fields}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
