"""The log of a server: BentoML's lines of text, or one JSON object per line.

In JSON the message of an exception that is not our own is left out: it may quote what was asked, and no line may hold
the id of a user or an item. Its class and the places that it passed stay.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from traceback import walk_tb
from typing import Any

from gnas_serve.errors import GnasError

TEXT, JSON = "text", "json"
LOG_FORMATS = (TEXT, JSON)
# BentoML gives these handlers of their own, beside the root's.
_HANDLED_APART = ("bentoml", "uvicorn.error", "circus")


def set_up(log_format: str) -> None:
    """Write the log of this process as the settings say; BentoML has set its own up before.

    Parameters
    ----------
    log_format
        One of :data:`LOG_FORMATS`.
    """
    # uvicorn words a line for each request, with the id of the user in it, before it finds that nobody wants it.
    logging.getLogger("uvicorn.access").propagate = False
    if log_format != JSON:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.getLogger().handlers = [handler]
    for name in _HANDLED_APART:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    logging.captureWarnings(True)


class JsonFormatter(logging.Formatter):
    """Makes an object of a record: ``time``, ``level``, ``logger``, ``message``, and what its ``fields`` say."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, without its end."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in getattr(record, "fields", {}).items():
            line.setdefault(name, value)
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = _described(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def _described(error: BaseException) -> dict[str, Any]:
    """Describe an exception and what it came from, in places and not in words, but for our own and the system's."""
    described: dict[str, Any] = {"type": type(error).__name__}
    if isinstance(error, GnasError | OSError):
        described["message"] = str(error)
    described["stack"] = [
        f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
        for frame, line in walk_tb(error.__traceback__)
    ]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        described["cause"] = _described(cause)
    return described
