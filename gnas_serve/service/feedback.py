"""Feedback in a served model: from a call to the shared log, and from the log to the next answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gnas_serve.artifact.manifest import Manifest
from gnas_serve.errors import GnasError, StorageError
from gnas_serve.feedback.event import FeedbackEvent
from gnas_serve.feedback.log import BUSY, Acknowledged, FeedbackLog
from gnas_serve.feedback.recent import Recent
from gnas_serve.feedback.segments import FULL
from gnas_serve.service.errors import NotReadyError, OverloadedError
from gnas_serve.service.schemas import FeedbackRequest

if TYPE_CHECKING:
    from gnas_serve.runtime.recommender import Recommender

_POLL_S = 0.25
_USUAL_EVENT = "interaction"

_log = logging.getLogger(__name__)


class Feedback:
    """Keeps what users did, and lets the model know, in every worker of the log.

    Parameters
    ----------
    folder
        Of the log, one for all workers.
    recommender
        Follows it from now on.
    manifest
        Of its artifact: which event counts, and from which rating on.

    Raises
    ------
    StorageError, IntegrityError, FormatVersionError
        If the log cannot be used.
    """

    def __init__(self, folder: Path, recommender: Recommender, manifest: Manifest) -> None:
        target = manifest.data.get("target_event")
        least = manifest.data.get("config", {}).get("min_rating")
        self._event = target or _USUAL_EVENT
        self._version = manifest.version
        recent = Recent(recommender.items, target_event=target, min_value=least)
        self._log = FeedbackLog(folder, recent.add)
        recommender.follow(recent)
        self._following: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to follow what other workers append; needs a running event loop."""
        self._following = asyncio.ensure_future(self._follow())

    async def take(self, request: FeedbackRequest) -> Acknowledged:
        """Write events; when this returns they are on the disk, and the next answer of this worker knows of them.

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
            return await asyncio.wrap_future(self._log.submit(self._events(request)))
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
