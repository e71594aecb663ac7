"""LastRun: what the last search on a study was told, so that it can be resumed without saying it again."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gnas_serve.artifact.fresh_file import replace_file
from gnas_serve.artifact.store import storage_errors
from gnas_serve.errors import IntegrityError

LAST_RUN = "last_run.json"


@dataclass(frozen=True)
class LastRun:
    """What the last search on a study was told.

    It lies beside the header, not in it: where the data is and how long to search are no part of what a study is about,
    and may differ from run to run.

    Attributes
    ----------
    data
        Path of the data, as absolute as it was then.
    trials, budget_s
        Its limits; None where it had none of that kind.
    strategy
        None for the study's own.
    slots
        Models trained at a time.
    """

    data: str
    trials: int | None = None
    budget_s: float | None = None
    strategy: str | None = None
    slots: int = 1

    def write(self, folder: Path) -> None:
        """Keep it in a study's folder, in the place of the one before.

        Raises
        ------
        StorageError
            If the disk is full or not writable.
        """
        with storage_errors(folder):
            # ASCII, so that a path of other bytes than UTF-8 comes back as it was.
            replace_file(folder / LAST_RUN, f"{json.dumps(asdict(self))}\n".encode("ascii"))

    @classmethod
    def read(cls, folder: Path) -> LastRun | None:
        """Read it; None where no search wrote it, as in studies of the first version.

        Raises
        ------
        IntegrityError
            If it is damaged.
        """
        path = folder / LAST_RUN
        if not path.is_file():
            return None
        try:
            raw: dict[str, Any] = json.loads(path.read_bytes())
            found = cls(**raw)
        except (ValueError, TypeError, RecursionError) as error:
            raise _damaged(path, str(error)) from error
        if not found._has_types():
            raise _damaged(path, "a value of the wrong type")
        return found

    def _has_types(self) -> bool:
        limits = (self.trials is None or (type(self.trials) is int and self.trials >= 1)) and (
            self.budget_s is None or (type(self.budget_s) in (int, float) and 0 < self.budget_s < math.inf)
        )
        texts = isinstance(self.data, str) and isinstance(self.strategy, str | None)
        return texts and limits and type(self.slots) is int and self.slots >= 1


def _damaged(path: Path, what: str) -> IntegrityError:
    return IntegrityError(f"{path} is unreadable: {what}", hint="remove it and give --data")
