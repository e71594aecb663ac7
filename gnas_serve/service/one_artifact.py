"""One artifact in one worker, and another in its place where its folder or the link to it is another by now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gnas_serve.artifact.manifest import Manifest
from gnas_serve.runtime.providers import CPU
from gnas_serve.service.feedback import Feedback
from gnas_serve.service.variants import Variants

if TYPE_CHECKING:
    from gnas_serve.runtime.recommender import Recommender

_log = logging.getLogger(__name__)


class OneArtifact:
    """The model of a worker that serves no other beside it.

    Parameters
    ----------
    path
        Of the artifact, or of a link to it.
    verify
        Hash every file of the first one; those that take its place are hashed always.
    provider
        What rankers compute on.

    Attributes
    ----------
    variants
        What is served now; replaced whole.

    Raises
    ------
    ConfigError, IntegrityError, FormatVersionError
        If the artifact cannot be used.
    """

    def __init__(self, path: Path, *, verify: bool = True, provider: str = CPU) -> None:
        from gnas_serve.runtime.recommender import Recommender

        self._path = path
        self._provider = provider
        self._feedback: Feedback | None = None
        self._changed: Callable[[Variants], None] = lambda _variants: None
        self._loaded = Recommender.load(path.resolve(), verify=verify, provider=provider)
        self.variants = Variants.of(self._loaded)

    @property
    def recommenders(self) -> list[Recommender]:
        """The model, as a list."""
        return [self._loaded]

    def open(self, changed: Callable[[Variants], None], feedback: Feedback | None) -> None:
        """Say who is told of changes, in the event loop, and who of models that come and go."""
        self._changed, self._feedback = changed, feedback
        changed(self.variants)

    async def renew(self) -> None:
        """Serve what the path names now, once it is hashed, loaded and asked; the present one answers until then.

        Raises
        ------
        ConfigError, IntegrityError, FormatVersionError
            If it cannot be used: the present one goes on.
        """
        fresh = await asyncio.to_thread(self._load)
        if fresh is self._loaded:
            _log.info("%s holds what is served", self._path)
            return
        gone, self._loaded = self._loaded, fresh
        self.variants = Variants.of(fresh)
        if self._feedback is not None:
            self._feedback.usual(fresh)
            self._feedback.detach(gone)
        self._changed(self.variants)
        _log.info("serving %s %s", fresh.info.name, fresh.info.version)

    async def close(self) -> None:
        """Nothing is followed, and nothing is to be let go of."""

    def _load(self) -> Recommender:
        fresh = load_another(self._path, self._loaded, self._provider)
        if fresh is not self._loaded and self._feedback is not None:
            self._feedback.attach(fresh)
        return fresh


def load_another(path: Path, present: Recommender | None, provider: str) -> Recommender:
    """Load an artifact, every file hashed, and ask it, unless it is the one that is loaded already.

    Parameters
    ----------
    path
        Of a folder or of a link, which is looked up once: it may change while this reads.
    present
        What was loaded from there before; given back where the folder holds the same, whole.

    Raises
    ------
    ConfigError, IntegrityError, FormatVersionError
        If it cannot be used.
    """
    from gnas_serve.runtime.recommender import Recommender
    from gnas_serve.runtime.smoke import smoke_answers

    folder = path.resolve()
    if present is not None and Manifest.read(folder, verify=False) == present.manifest:
        Manifest.read(folder)  # equal in what it says it holds: its files are hashed as those of any other
        return present
    fresh = Recommender.load(folder, provider=provider)
    smoke_answers(fresh)
    return fresh
