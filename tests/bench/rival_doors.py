"""Servers that our doors are compared with, each the shortest way to write it; ``rival_doors.py NAME ARTIFACT PORT``.

``http-echo`` and ``grpc-echo`` read a question and answer with what they hold already: what no server does without.
``http-bare`` and ``grpc-bare`` are these with our recommender between reading and answering, and nothing else: no
checks, limits, metrics or ids. What a door costs beyond them is its own; what they cost beyond an echo and a
recommendation is that each finds the caches and the branch predictor full of the other.
``bentoml``, ``fastapi-torch`` and ``litserve-torch`` recommend.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

K = 10


def an_answer(artifact: Path) -> dict[str, Any]:
    """Give what our door answers to one user, for the sizes."""
    from gnas_serve.runtime.query import Query
    from gnas_serve.runtime.recommender import Recommender

    recommender = Recommender.load(artifact)
    items = recommender.recommend(Query(user_id=recommender.users.id(0), k=K)).items()
    return {"items": items, "model": recommender.info.signature()}


def recommends(artifact: Path) -> Callable[[Any, int], dict[str, Any]]:
    """Give what answers a user id and a k as our door does."""
    from gnas_serve.runtime.query import Query
    from gnas_serve.runtime.recommender import Recommender

    recommender = Recommender.load(artifact)
    signature = recommender.info.signature()

    def answer(user_id: Any, k: int) -> dict[str, Any]:
        return {"items": recommender.recommend(Query(user_id=user_id, k=k)).items(), "model": signature}

    return answer


def serve_asgi(app: Any, port: int) -> None:
    import uvicorn

    uvicorn.run(
        app, host="127.0.0.1", port=port, log_level="warning", access_log=False, loop="uvloop", http="httptools"
    )


def serve_http(answer: Callable[[dict[str, Any]], dict[str, Any]], port: int) -> None:
    from pydantic_core import from_json, to_json  # the quickest way from and to JSON, which is what ours takes

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        content = to_json(answer(from_json(body)))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    serve_asgi(app, port)


def http_echo(artifact: Path, port: int) -> None:
    answer = an_answer(artifact)
    serve_http(lambda _question: answer, port)


def http_bare(artifact: Path, port: int) -> None:
    answer = recommends(artifact)
    serve_http(lambda question: answer(question["user_id"], question["k"]), port)


def serve_grpc(answer: Callable[[Any], Any], port: int) -> None:
    import grpc
    import uvloop
    from grpc import aio

    from gnas_serve.service.proto import recommender_pb2 as pb

    async def recommend(request: Any, _context: Any) -> Any:
        return answer(request)

    async def run() -> None:
        server = aio.server()
        handler = grpc.unary_unary_rpc_method_handler(
            recommend, pb.RecommendRequest.FromString, pb.RecommendResponse.SerializeToString
        )
        service = pb.DESCRIPTOR.services_by_name["Recommender"].full_name
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Recommend": handler}),))
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        await server.wait_for_termination()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def as_message(answer: dict[str, Any]) -> Any:
    from gnas_serve.service.client import to_id
    from gnas_serve.service.proto import recommender_pb2 as pb

    items = [
        pb.Item(item_id=to_id(item["item_id"]), score=item["score"], source=item["source"]) for item in answer["items"]
    ]
    return pb.RecommendResponse(items=items, model=pb.Model(**answer["model"]))


def grpc_echo(artifact: Path, port: int) -> None:
    response = as_message(an_answer(artifact))
    serve_grpc(lambda _request: response, port)


def grpc_bare(artifact: Path, port: int) -> None:
    from gnas_serve.service.client import from_id

    answer = recommends(artifact)
    serve_grpc(lambda request: as_message(answer(from_id(request.user_id), request.k)), port)


def bentoml(artifact: Path, port: int) -> None:
    environment = {**os.environ, "RIVAL_ARTIFACT": str(artifact), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "serve", "stock_bento:Stock", "--port", str(port)]
    command += ["--working-dir", str(Path(__file__).parent), "--host", "127.0.0.1"]
    os.execve(sys.executable, command, environment)  # noqa: S606


def fastapi_torch(artifact: Path, port: int) -> None:
    from eager import EagerRecommender
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Question(BaseModel):
        user_id: int | str
        k: int = K

    class Item(BaseModel):
        item_id: int | str
        score: float
        source: str

    class Answer(BaseModel):
        items: list[Item]
        model: dict[str, str]

    recommender = EagerRecommender(artifact)
    app = FastAPI()

    async def recommend(question: Question) -> Answer:
        return Answer.model_validate(recommender.recommend(question.user_id, question.k))

    # Not as text: FastAPI would look these classes up by their names, in the module.
    recommend.__annotations__ = {"question": Question, "return": Answer}
    app.post("/v1/recommend")(recommend)
    serve_asgi(app, port)


def litserve_torch(artifact: Path, port: int) -> None:
    import litserve
    from lit_recommender import LitRecommender

    server = litserve.LitServer(LitRecommender(artifact), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, num_api_servers=1, log_level="warning")


RIVALS = {
    "http-echo": http_echo,
    "grpc-echo": grpc_echo,
    "http-bare": http_bare,
    "grpc-bare": grpc_bare,
    "bentoml": bentoml,
    "fastapi-torch": fastapi_torch,
    "litserve-torch": litserve_torch,
}

if __name__ == "__main__":
    RIVALS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
