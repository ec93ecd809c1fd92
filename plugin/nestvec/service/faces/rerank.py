"""Reranking as TEI, vLLM and Cohere ask for it: checked, and refused until an encoder can score pairs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from nestvec.service.faces.call import Truncation, check_count, embedder_of
from nestvec.service.faces.choice import QueryString
from nestvec.service.problems import refusals
from nestvec_schemas.errors import BodyInvalid, EmptyInput, NotOffered

router = APIRouter(tags=["Rerank"])


class TextDocument(BaseModel):
    """A document as Cohere's v1 may write it."""

    text: str


class RerankRequest(Truncation):
    """``texts`` in TEI's words; ``documents`` in vLLM's and Cohere's."""

    query: str = Field(examples=["what is heat flow"])
    texts: list[str] | None = Field(None, description="What is scored, for TEI.", examples=[["waves"]])
    documents: list[str | TextDocument] | None = Field(None, description="The same for vLLM and Cohere.")
    raw_scores: bool = False
    return_text: bool = False
    model: str | None = None
    top_n: int | None = Field(None, ge=1)


async def rerank(body: RerankRequest, request: Request, query: QueryString) -> Response:
    """Refused until an encoder scores a query with a document."""
    embedder = embedder_of(request)
    check_count(_scored(body), embedder.settings.max_inputs)
    if not body.query:
        raise EmptyInput("the query is empty", next_step="Send at least one character.")
    raise NotOffered(
        "no encoder of this service scores a query with a document",
        value=", ".join(sorted(embedder.encoders)),
        next_step="Rank by a vector of more dims instead, or ask a service that holds a cross-encoder.",
    )


for _path in ("/rerank", "/v1/rerank", "/v2/rerank"):
    router.post(_path, response_model=list[Any], summary="Rerank documents", responses=refusals(_path))(
        rerank
    )


def _scored(body: RerankRequest) -> list[str]:
    """What is to be scored. Raises BodyInvalid unless it is named once."""
    if (body.texts is None) == (body.documents is None):
        raise BodyInvalid(
            "what is to be ranked must be given once",
            value="neither texts nor documents" if body.texts is None else "both texts and documents",
            next_step="Send texts as TEI does, or documents as vLLM and Cohere do.",
        )
    documents = body.documents or []
    return body.texts or [one if isinstance(one, str) else one.text for one in documents]
