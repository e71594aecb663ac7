"""Feedback events for tests, and what a log holds, read from its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gnas_serve.feedback.event import FeedbackEvent
from gnas_serve.feedback.log import FeedbackLog


def event(number: int | str, **fields: Any) -> FeedbackEvent:
    """One purchase; the id is `e-NUMBER`."""
    told = {"user_id": 1007, "item_id": 2003, "event": "purchase", "value": None, "timestamp": 1.7e9, "model": "v1"}
    return FeedbackEvent(**{"event_id": f"e-{number}", **told, **fields})


def ids_in(folder: Path) -> list[str]:
    """The event ids of a log in its order, by a reading of its own: whole lines that are JSON."""
    found = []
    for path in sorted(folder.glob("feedback-*.log")):
        lines = path.read_bytes().split(b"\n")
        for line in lines[1:-1]:
            try:
                found.append(json.loads(line[18:])[0])
            except ValueError:
                continue
    return found


class Opened:
    """A log that is open within a block, and what it told."""

    def __init__(self, folder: Path, **options: int) -> None:
        self.told: list[FeedbackEvent] = []
        self.log = FeedbackLog(folder, self.told.extend, **options)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()

    def append(self, *numbers: int | str) -> tuple[int, int]:
        done = self.log.append([event(number) for number in numbers])
        return done.written, done.duplicates

    def told_ids(self) -> list[str]:
        return [one.event_id for one in self.told]
