"""The routes, over one worker."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from pocketvl.runtime.bundle.geometry import SamplingDefaults
from pocketvl.runtime.serve.chat_completions import ChatCompletions
from pocketvl.runtime.serve.errors import RequestError, request_error
from pocketvl.runtime.serve.guard import Guard
from pocketvl.runtime.serve.metrics import CONTENT_TYPE, Metrics
from pocketvl.runtime.serve.page import load_page
from pocketvl.runtime.serve.settings import Settings
from pocketvl.runtime.serve.worker import Worker
from pocketvl.runtime.text.tokenizer import Tokenizer


def make_app(worker: Worker, settings: Settings, sampling: SamplingDefaults, tokenizer: Tokenizer) -> FastAPI:
    """sampling: the bundle's defaults."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)  # their pages load scripts from elsewhere
    metrics = Metrics()
    page = load_page()
    chat = ChatCompletions(worker, settings, sampling, tokenizer, metrics)
    if settings.allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allow_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    app.add_middleware(Guard, settings=settings, on_status=metrics.request)  # the outermost
    app.add_exception_handler(RequestError, _refuse)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(Exception, _refuse)
    app.router.routes.append(Route("/v1/chat/completions", chat, methods=["POST"]))
    model = {"id": settings.name, "object": "model", "created": 0, "owned_by": "pocketvl"}

    @app.get("/v1/models")
    async def models() -> dict[str, object]:
        return {"object": "list", "data": [model]}

    @app.get("/v1/models/{name:path}")
    async def one_model(name: str) -> dict[str, object]:
        chat.check_model(name)
        return dict(model)

    @app.api_route("/health", methods=["GET", "HEAD"])
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics")
    async def counters() -> Response:
        return PlainTextResponse(metrics.text(worker.waiting, worker.running), media_type=CONTENT_TYPE)

    @app.api_route("/", methods=["GET", "HEAD"])
    async def index() -> Response:
        return Response(page.html, media_type="text/html", headers=page.headers)

    return app


async def _refuse(request: Request, failure: Exception) -> Response:
    match failure:
        case RequestError():
            return JSONResponse(failure.body(), failure.status, failure.headers)
        case HTTPException(status_code=404):
            refusal = RequestError(404, f"{request.url.path} is not known; docs/server.md lists what is.")
        case HTTPException(status_code=405):
            refusal = RequestError(405, f"{request.url.path} does not take {request.method}.")
        case _:
            refusal = request_error(failure)
    headers = dict(getattr(failure, "headers", None) or {})
    return JSONResponse(refusal.body(), refusal.status, headers)
