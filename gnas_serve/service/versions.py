"""Versions: several artifacts in one worker, switched as the deployment of the machine says, without a gap."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gnas_serve.errors import ConfigError, GnasError, IntegrityError, MissingExtraError, ProviderError
from gnas_serve.runtime.providers import CPU
from gnas_serve.service.agreement import Agreement, Report
from gnas_serve.service.deployment import STATE, Deployment, DeploymentFile
from gnas_serve.service.errors import NotReadyError, RefusedArtifactError
from gnas_serve.service.feedback import Feedback
from gnas_serve.service.retries import Retries
from gnas_serve.service.served_models import Loaded, ServedModels
from gnas_serve.service.variants import Variants

if TYPE_CHECKING:
    from gnas_serve.runtime.recommender import Recommender

_Result = TypeVar("_Result")

_POLL_S = 0.25

_log = logging.getLogger(__name__)


class Versions:
    """The models of one worker.

    Parameters
    ----------
    file
        What is to be served, for all workers.
    artifact
        Where to begin, if the file does not say; a link to one is looked up again by :meth:`renew`.
    provider
        What rankers compute on.

    Raises
    ------
    ConfigError, IntegrityError, FormatVersionError, StorageError
        If the file or one of its artifacts cannot be used.
    """

    def __init__(self, file: DeploymentFile, artifact: Path, provider: str = CPU) -> None:
        self._file = file
        self._artifact = artifact
        self._models = ServedModels(file.open(artifact), file, provider)
        self._agreement = Agreement(file.folder / STATE)
        self._changing = asyncio.Lock()  # else one change is loaded twice: by its call, and as one to be followed
        self._changed: Callable[[Variants], None] = lambda _variants: None
        self._following: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[Any]] = set()

    @property
    def recommenders(self) -> list[Recommender]:
        """All models that are served, the stable one first."""
        return self._models.recommenders

    @property
    def variants(self) -> Variants:
        """What is served now; replaced whole."""
        return self._models.variants

    @property
    def deployment(self) -> Deployment:
        """What this worker serves."""
        return self._models.deployment

    def open(self, changed: Callable[[Variants], None], feedback: Feedback | None) -> None:
        """Begin to follow the file; needs a running event loop.

        Parameters
        ----------
        changed
            Is told of each change, in the event loop.
        feedback
            Told of models that come and go.
        """
        self._changed = changed
        self._models.open(feedback)
        changed(self.variants)
        self._agreement.join(self.deployment.revision)
        self._following = asyncio.ensure_future(self._follow())

    async def change(self, change: Callable[[Deployment], Deployment]) -> Deployment:
        """Change what all workers serve; when this returns, they do.

        It goes on where nobody waits for it any more: half of it would be a deployment that not all workers serve.

        Raises
        ------
        RefusedArtifactError
            If an artifact cannot be loaded, here or by another worker: all go on with what they had, and where that
            is not so yet its hint says so.
        NotReadyError
            If not all workers were ready in time; the change stays, and they follow.
        RequestError
            If the change names what there is not.
        """
        return await self._carried_out(self._change(change))

    async def _change(self, change: Callable[[Deployment], Deployment]) -> Deployment:
        found: list[Deployment] = []  # what the file held, which this worker may not have heard of yet

        def noted(before: Deployment) -> Deployment:
            found.append(before)
            return change(before)

        async with self._changing:
            try:
                with self._models.loading() as loaded:
                    after = await asyncio.to_thread(
                        self._file.change, noted, lambda one: self._models.load(one, loaded)
                    )
                    if loaded:
                        self._serve(after, loaded)
                    else:  # it is so already, by another worker perhaps
                        await self._take_over(after)
            except GnasError as error:
                raise _refused(error) from error
        refusal = await self._agreement.reached(after.revision)
        if refusal is not None:
            hint = await self._go_back(after, found[-1])
            raise RefusedArtifactError(f"another worker cannot serve it: {refusal}", hint=hint)
        return after

    async def _go_back(self, refused: Deployment, before: Deployment) -> str:
        """Undo a change, unless somebody has changed the deployment since; say what became of it."""

        def back(now: Deployment) -> Deployment:
            return replace(before, revision=now.revision) if now.revision == refused.revision else now

        try:
            now = await asyncio.to_thread(self._file.change, back, lambda _deployment: None)
            async with self._changing:
                await self._catch_up()
        except Exception as error:  # noqa: BLE001  # whatever it is, the refusal is what the caller is to be told
            _log.error("a deployment that another worker cannot serve could not be undone", exc_info=error)
            return "it could not be undone here: the server's log has the reason"
        if now != replace(before, revision=now.revision):
            return "what was changed since stays: ask for the deployment"
        try:
            refusal = await self._agreement.reached(now.revision)
        except NotReadyError as late:
            refusal = late.message
        if refusal is not None:
            return f"not all have gone back yet, {refusal}: ask for the deployment in a while"
        return "all go on as before"

    async def renew(self) -> None:
        """Serve what the link to the artifact names now, and what the folders of all that is served hold now.

        A link is a wish, which all workers follow or none. A folder that is another one by now each worker looks at
        for itself: what was there before is gone, and nobody could go back to it.

        Raises
        ------
        RefusedArtifactError, NotReadyError, RequestError
            As :meth:`change`.
        ConfigError, IntegrityError, FormatVersionError
            If what a folder holds now cannot be used: what was loaded from it goes on.
        """
        if self._artifact.is_symlink():
            name = self._file.name_of(self._artifact)
            await self.change(lambda before: before.switched(name))
        await self._carried_out(self._read_again())

    async def _read_again(self) -> None:
        async with self._changing:
            with self._models.loading() as loaded:
                await asyncio.to_thread(self._models.load, self.deployment, loaded, again=True)
                if not self._models.are(loaded):
                    self._serve(self.deployment, loaded)
                    return
        _log.info("the folders of what is served hold what they held")

    async def close(self) -> None:
        """Follow no more, and wait for no other worker; what is being loaded is let come to its end."""
        self._agreement.leave()
        if self._under_way:
            await asyncio.wait(self._under_way)
        if self._following is not None:
            async with self._changing:
                self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following

    async def _carried_out(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Do something to its end, whether or not the one who asked for it waits for that."""
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.add_done_callback(_tell_the_log)
            raise
        return task.result()

    async def _follow(self) -> None:
        retries = Retries()
        while True:
            await asyncio.sleep(_POLL_S)
            self._agreement.repeat()
            if self._file.has_changed():
                retries = Retries()
            elif self._file.revision == self.deployment.revision or not retries.are_due():
                continue
            try:
                async with self._changing:
                    await self._catch_up()
            except Exception as error:  # noqa: BLE001  # a boundary: whatever it is, it is tried again
                if retries.failed(error):
                    _log.error("a new deployment is not followed yet", exc_info=error)
            else:
                retries = Retries()

    async def _catch_up(self) -> None:
        try:
            deployment = await asyncio.to_thread(self._file.read)
        except Exception as error:
            self._refuse(self.deployment.revision, error)
            raise
        await self._take_over(deployment)

    def _refuse(self, revision: int, error: Exception) -> None:
        said = str(error) if isinstance(error, GnasError) else "it cannot be loaded"
        self._agreement.report(Report(self.deployment.revision, revision, said))

    async def _take_over(self, deployment: Deployment) -> None:
        """Serve what the file says, or say in the folder why that cannot be."""
        if deployment.revision == self.deployment.revision:
            self._agreement.report(Report(deployment.revision))
            return
        try:
            with self._models.loading() as loaded:
                await asyncio.to_thread(self._models.load, deployment, loaded)
                self._serve(deployment, loaded)
        except Exception as error:
            self._refuse(deployment.revision, error)
            raise

    def _serve(self, deployment: Deployment, loaded: Loaded) -> None:
        """Serve from the next request on; runs in the event loop."""
        self._changed(self._models.serve(deployment, loaded))
        self._agreement.report(Report(deployment.revision))
        _log.info("serving revision %d: %s", deployment.revision, ", ".join(sorted(loaded)))


def _tell_the_log(change: asyncio.Task[Any]) -> None:
    """Say how a change came to nothing that nobody waits for any more."""
    if not change.cancelled() and (error := change.exception()) is not None:
        _log.error("a change of what is served came to nothing: %s", error)


def _refused(error: GnasError) -> GnasError:
    """Tell an artifact that cannot be served, here and now, from what else can go wrong."""
    if isinstance(error, ConfigError | IntegrityError | MissingExtraError | ProviderError):
        return RefusedArtifactError(error.message, hint=error.hint)
    return error
