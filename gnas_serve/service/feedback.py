"""Feedback in a served model: from a call to the shared log, and from the log to the next answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnas_serve.errors import GnasError, StorageError
from gnas_serve.feedback.event import FeedbackEvent
from gnas_serve.feedback.log import BUSY, WINDOW, FeedbackLog
from gnas_serve.feedback.recent import Recent
from gnas_serve.feedback.segments import FULL
from gnas_serve.service.errors import NotReadyError, OverloadedError
from gnas_serve.service.feedback_likeness import Likeness, Unlike
from gnas_serve.service.schemas import FeedbackRequest

if TYPE_CHECKING:
    from gnas_serve.runtime.recommender import Recommender

_POLL_S = 0.25
_USUAL_EVENT = "interaction"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Taken:
    """What became of the events of one call: all are in the log.

    Attributes
    ----------
    written, duplicates
        As of :class:`gnas_serve.feedback.log.Acknowledged`.
    unlike
        What of those that were written is unlike the data of the model.
    """

    written: int
    duplicates: int
    unlike: Unlike

    def to_json(self) -> dict[str, Any]:
        """Lay it out as the HTTP door shows it: with ``"warnings"`` where there are any."""
        told = {"written": self.written, "duplicates": self.duplicates}
        return told | ({"warnings": list(self.unlike.warnings)} if self.unlike.warnings else {})


class Feedback:
    """Keeps what users did, and lets the model know, in every worker of the log.

    Parameters
    ----------
    folder
        Of the log, one for all workers.
    recommenders
        Follow it from now on, what the log holds already included. Of the first are the usual event and version.

    Raises
    ------
    StorageError, IntegrityError, FormatVersionError
        If the log cannot be used.
    """

    def __init__(self, folder: Path, recommenders: Sequence[Recommender]) -> None:
        self._folder = folder
        self._recents: dict[Recommender, Recent] = {}
        for recommender in recommenders:
            self._recents[recommender] = _recent_of(recommender)
        self._log = FeedbackLog(folder, self._watch)
        for recommender, recent in self._recents.items():
            recommender.follow(recent)
        self.usual(recommenders[0])
        self._following: asyncio.Task[None] | None = None

    def usual(self, recommender: Recommender) -> None:
        """Take from now on what events do not say, their kind and the version, from this model."""
        self._event = recommender.manifest.data.get("target_event") or _USUAL_EVENT
        self._version = recommender.info.version
        self._likeness = Likeness(recommender)

    def attach(self, recommender: Recommender) -> None:
        """Let one more model follow the log, and tell it first what the log holds; in some seconds at most."""
        recent = _recent_of(recommender)
        # First of all what comes meanwhile, then what was: what is told twice counts once.
        self._recents = {**self._recents, recommender: recent}
        recent.replay(self._folder, WINDOW)
        recommender.follow(recent)

    def detach(self, recommender: Recommender) -> None:
        """Tell a model no more."""
        self._recents = {other: recent for other, recent in self._recents.items() if other is not recommender}

    def _watch(self, events: Sequence[FeedbackEvent]) -> None:
        for recent in self._recents.values():
            recent.add(events)

    def open(self) -> None:
        """Begin to follow what other workers append; needs a running event loop."""
        self._following = asyncio.ensure_future(self._follow())

    async def take(self, request: FeedbackRequest) -> Taken:
        """Write events; when this returns they are on the disk, and the next answer of this worker knows of them.

        What is unlike the data of the model is written as well, and told of.

        Raises
        ------
        RequestError
            If an event is not as it should be: nothing of the request is written.
        OverloadedError
            If too many wait for the disk.
        NotReadyError
            If the disk does not take them: none is acknowledged, and all may be sent again.
        """
        try:
            events = self._events(request)
            done = await asyncio.wrap_future(self._log.submit(events))
            # Of what was sent again it was told the first time.
            fresh = [
                (event, one.event is not None)
                for event, one, is_new in zip(events, request.events, done.is_new, strict=True)
                if is_new
            ]
            return Taken(done.written, done.duplicates, self._likeness.unlike(fresh))
        except StorageError as error:
            if error.code == BUSY:
                raise OverloadedError("too many events wait for the disk", hint="send them again later") from error
            _log.error("feedback cannot be kept", exc_info=error)  # its paths are for the log, not for callers
            is_full = error.code == FULL
            raise NotReadyError(
                "there is no room for feedback" if is_full else "feedback cannot be kept for now",
                hint="send the events again later",
                code=FULL if is_full else "feedback_unavailable",
            ) from error

    async def close(self) -> None:
        """Write what waits, and let go of the log."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        await asyncio.to_thread(self._log.close)

    def _events(self, request: FeedbackRequest) -> Sequence[FeedbackEvent]:
        now = time.time()
        return [
            FeedbackEvent(
                event_id=one.event_id,
                user_id=one.user_id,
                item_id=one.item_id,
                event=one.event or self._event,
                value=one.value,
                timestamp=now if one.timestamp is None else one.timestamp,
                model=one.model or self._version,
                propensity=one.propensity,
            )
            for one in request.events
        ]

    async def _follow(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(_POLL_S)
            try:
                await asyncio.to_thread(self._log.poll)
                failing = False
            except GnasError as error:
                # Answers go on without what cannot be read; said once, not four times a second.
                if not failing:
                    _log.error("the feedback log cannot be followed", exc_info=error)
                failing = True


def _recent_of(recommender: Recommender) -> Recent:
    data = recommender.manifest.data
    least = data.get("config", {}).get("min_rating")
    return Recent(recommender.items, target_event=data.get("target_event"), min_value=least)
