"""The BentoML service: one model per worker behind both doors.

Importing this module reads the settings and the artifact's manifest, no more: BentoML's parent process and
`bentoml build` import it too. The model itself is loaded in each worker.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import signal
from types import FrameType
from typing import Any

import bentoml
import uvicorn
from _bentoml_sdk.service import Service
from bentoml.exceptions import BentoMLConfigException

from gnas_serve import kernels
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.errors import GnasError
from gnas_serve.runtime.stages import found_by
from gnas_serve.service.acceptor import Acceptor
from gnas_serve.service.access_log import AccessLog
from gnas_serve.service.admission import Admission
from gnas_serve.service.calls import Calls
from gnas_serve.service.connections import announce_close, bound_heads
from gnas_serve.service.deployment import DeploymentFile
from gnas_serve.service.express import Express
from gnas_serve.service.feedback import Feedback
from gnas_serve.service.grpc import GrpcDoor
from gnas_serve.service.grpc_threads import EXPERIMENTS, ONE_THREAD
from gnas_serve.service.hangup import Hangups, pass_on
from gnas_serve.service.hot_path import HotPath
from gnas_serve.service.image import lean_image
from gnas_serve.service.logs import set_up
from gnas_serve.service.one_artifact import OneArtifact
from gnas_serve.service.openapi import describe
from gnas_serve.service.ports import check_port_free
from gnas_serve.service.provider_check import check_provider
from gnas_serve.service.responses import (
    ExplainResponse,
    FeedbackResponse,
    RecommendBatchResponse,
    RecommendResponse,
    SimilarUsersResponse,
)
from gnas_serve.service.routes import ranking, rankings
from gnas_serve.service.schemas import (
    ExplainRequest,
    FeedbackRequest,
    RankRequest,
    RecommendBatchRequest,
    RecommendRequest,
    SimilarItemsRequest,
    SimilarUsersRequest,
)
from gnas_serve.service.settings import Settings
from gnas_serve.service.telemetry import Telemetry
from gnas_serve.service.tls import server_credentials
from gnas_serve.service.tracing import Tracing, check_exporter
from gnas_serve.service.versions import Versions

_GRACE_S = 1.0

_log = logging.getLogger(__name__)

try:
    SETTINGS = Settings.from_environment()
    set_up(SETTINGS.log_format)
    MANIFEST = Manifest.read(SETTINGS.artifact, verify=False)
    ADMISSION = Admission.of(SETTINGS)
    server_credentials(SETTINGS)  # a wrong certificate is told here, in one line, and not by every worker
    ACCESS_LOG = AccessLog.of(SETTINGS)
    check_exporter(SETTINGS)
    IMAGE = lean_image()
except GnasError as error:
    # BentoML's command line shows errors of its own kind as one line, and all others as a traceback.
    raise BentoMLConfigException(str(error)) from error


class FrontedService(Service[Any]):  # type: ignore[misc]  # BentoML is untyped here
    """A BentoML service whose application stands behind our own front."""

    def to_asgi(self, is_main: bool = True) -> HotPath:
        """Build the worker's ASGI application."""
        self.front = HotPath(super().to_asgi(is_main=is_main), SETTINGS, ADMISSION)
        return self.front

    @property
    def openapi_spec(self) -> Any:
        """Describe the HTTP door: of a server as it was started, of a Bento all that it can do."""
        settings = SETTINGS if hasattr(self, "front") else None
        return describe(super().openapi_spec, version=MANIFEST.version, settings=settings)


@bentoml.service(
    name="gnas_serve",
    service_class=FrontedService,
    image=IMAGE,
    description=f"Recommendations by {MANIFEST.name} {MANIFEST.version} over HTTP and gRPC.",
    labels={"artifact": MANIFEST.version, "model": MANIFEST.name, "profile": MANIFEST.profile},
    # One thread per worker for all native code: throughput comes from workers, and threads only add wake-ups.
    # The image says that nothing is reported to ONNX Runtime's makers, too; outside of one, gnas_serve.runtime sets it.
    envs=[
        *({"name": f"{name}_NUM_THREADS", "value": "1"} for name in ("OMP", "OPENBLAS")),
        {"name": "ORT_DISABLE_TELEMETRY", "value": "1"},
        {"name": EXPERIMENTS, "value": ONE_THREAD},
    ],
    workers=SETTINGS.workers,
    traffic={"timeout": max(SETTINGS.timeout_s, 1.0)},
    # The front logs its own requests; BentoML's log would add health probes alone.
    logging={"access": {"enabled": False}},
)
class GnasServe:
    """Recommendations over HTTP and gRPC."""

    bento_service: FrontedService

    def __init__(self) -> None:
        # The runtime is imported and the models loaded in workers alone.
        self._tracing = Tracing.of(SETTINGS)
        self._telemetry = Telemetry(access_log=ACCESS_LOG, tracing=self._tracing)
        versions: Versions | None = None
        self._served: OneArtifact | Versions
        if SETTINGS.versions is None:
            self._served = OneArtifact(SETTINGS.artifact, verify=SETTINGS.verify, provider=SETTINGS.provider)
        else:
            versions = Versions(DeploymentFile(SETTINGS.versions), SETTINGS.artifact, SETTINGS.provider)
            self._served = versions
        loaded = self._served.recommenders
        self._feedback = None if SETTINGS.feedback is None else Feedback(SETTINGS.feedback, loaded)
        self._calls = Calls(self._served.variants, self._telemetry, self._feedback, versions)
        self._calls.serve(self._served.variants)
        self._hangups = Hangups(self._served.renew)
        self._grpc = GrpcDoor(self._calls, self._telemetry, SETTINGS, ADMISSION)
        self._ready = False

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check_machine() -> None:
        """Refuse to start beside another server or without what it is to use; runs once, in the parent."""
        try:
            check_provider(SETTINGS.provider)
            check_port_free(SETTINGS.grpc_host, SETTINGS.grpc_port, door="gRPC", option="GNAS_GRPC_PORT")
        except GnasError as error:
            raise BentoMLConfigException(str(error)) from error
        pass_on()

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def open_doors(self) -> None:
        """Open both doors, then say that the worker is ready."""
        logging.getLogger("gnas_serve").setLevel(logging.INFO)
        if self._feedback is not None:
            self._feedback.open()
        self._served.open(self._calls.serve, self._feedback)
        await self._grpc.open()
        self.bento_service.front.open(self._calls, self._telemetry)
        loop = asyncio.get_running_loop()
        self._telemetry.keep_handing_on(loop)
        self._attend_connections(loop)
        # What is loaded by now stays: the collector need not look through it again, in the middle of some request.
        gc.collect()
        gc.freeze()
        self._hangups.open()
        self._ready = True
        model = self._calls.model
        _log.info(
            "serving %s %s, computed by %s, gRPC on port %d",
            model.name,
            model.version,
            kernels.described(),
            SETTINGS.grpc_port,
        )

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def close_doors(self) -> None:
        """Let the gRPC calls in flight finish; the HTTP ones have by now."""
        self._ready = False
        await self._grpc.close()
        await self._hangups.close()
        await self._served.close()
        if self._feedback is not None:
            await self._feedback.close()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        self._telemetry.hand_on()
        _log.info("drained")

    def _attend_connections(self, loop: asyncio.AbstractEventLoop) -> None:
        """Bound the connections of the HTTP door, and have it say that it is going to close before it does.

        From the signal on, both doors report that they are not ready, and each HTTP answer ends its connection; the
        HTTP door stops to listen only after a grace, so that callers and load balancers notice in time. The shutdown
        hook would be too late for all this: it runs only after HTTP has drained.
        """
        server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
        if not isinstance(server, uvicorn.Server):
            return  # imported into a program that has no server of ours to stop
        grace_s = min(_GRACE_S, SETTINGS.drain_s / 4)
        # BentoML passes the limit on from flags alone, and a container is started without any.
        server.config.timeout_graceful_shutdown = math.ceil(SETTINGS.drain_s - grace_s)
        bound_heads(server, SETTINGS.timeout_s, Express(self.bento_service.front))
        acceptor = Acceptor(server, SETTINGS.workers)

        def end(number: int) -> None:
            acceptor.close()
            server.handle_exit(number, None)

        def begin_drain(number: int) -> None:
            self._ready = False
            announce_close(server)
            self._draining = asyncio.ensure_future(self._grpc.drain())
            loop.call_later(grace_s, end, number)

        def on_signal(number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(begin_drain, number)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)

    async def __is_ready__(self) -> bool:
        return self._ready

    # The front answers these paths before BentoML sees them. The methods below give BentoML's client, its schema
    # and other services of the same Bento the same calls.

    @bentoml.api(route="/v1/recommend")  # type: ignore[untyped-decorator]
    async def recommend(self, request: RecommendRequest, /) -> RecommendResponse:
        """Items for one user, best first."""
        found = found_by(self._calls.recommend(request))
        return RecommendResponse.model_validate(ranking(found, scores=request.return_scores))

    @bentoml.api(route="/v1/recommend/batch")  # type: ignore[untyped-decorator]
    async def recommend_batch(self, request: RecommendBatchRequest, /) -> RecommendBatchResponse:
        """Many questions at once, answered in order."""
        found = await self._calls.recommend_batch(request)
        return RecommendBatchResponse.model_validate(rankings(request, found, self._calls.model.signature()))

    @bentoml.api(route="/v1/rank")  # type: ignore[untyped-decorator]
    async def rank(self, request: RankRequest, /) -> RecommendResponse:
        """Given items in the order of one user's liking."""
        return RecommendResponse.model_validate(
            ranking(found_by(self._calls.rank(request)), scores=request.return_scores)
        )

    @bentoml.api(route="/v1/similar-items")  # type: ignore[untyped-decorator]
    async def similar_items(self, request: SimilarItemsRequest, /) -> RecommendResponse:
        """Items like one item, best first."""
        return RecommendResponse.model_validate(ranking(await self._calls.similar_items(request)))

    @bentoml.api(route="/v1/similar-users")  # type: ignore[untyped-decorator]
    async def similar_users(self, request: SimilarUsersRequest, /) -> SimilarUsersResponse:
        """Users of one user's taste, best first."""
        found = await self._calls.similar_users(request)
        return SimilarUsersResponse.model_validate({"users": found.answer.users(), "model": found.model})

    @bentoml.api(route="/v1/explain")  # type: ignore[untyped-decorator]
    async def explain(self, request: ExplainRequest, /) -> ExplainResponse:
        """Say what of a user's past the score of one item comes from."""
        found = self._calls.explain(request)
        return ExplainResponse.model_validate(found.answer.to_json() | {"model": found.model})

    @bentoml.api(route="/v1/feedback")  # type: ignore[untyped-decorator]
    async def feedback(self, request: FeedbackRequest, /) -> FeedbackResponse:
        """Keep what users did."""
        return FeedbackResponse.model_validate((await self._calls.feedback(request)).to_json())
