"""The ASGI app: faces, error answers, body limit, interactive docs that need no network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from nestvec import __version__
from nestvec.service.embedder import Embedder
from nestvec.service.faces import openai, tei
from nestvec.service.limits import BodyLimit
from nestvec.service.problems import error_response
from nestvec_schemas.errors import NestvecError

_ABOUT = """
Embeddings for Milvus, in the shapes of text-embeddings-inference and OpenAI. Every vector is nested:
`dim` (or `dimensions`) asks for its first so many numbers, normalised again.
"""


def create_app(embedder: Embedder) -> FastAPI:
    """The app of one embedder, which it starts and closes."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        embedder.start()
        yield
        await embedder.close()

    app = FastAPIOffline(title="nestvec", version=__version__, description=_ABOUT, lifespan=lifespan)
    app.state.embedder = embedder
    app.include_router(tei.router)
    app.include_router(openai.router)
    for kind in (NestvecError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answer_error)
    app.add_middleware(BodyLimit, limit=embedder.settings.max_body)
    return app


async def _answer_error(request: Request, error: Exception) -> Response:
    return error_response(request.url.path, error)
