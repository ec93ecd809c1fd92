"""``/check``: which inputs cannot be embedded, before somebody embeds many of them in one request."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from nestvec.service.api.common import EmbedCall, check_count, embed_inputs, embedder_of, selected_encoder
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.selection import QueryString, select_encoder
from nestvec.service.preprocess.truncation import Policy
from nestvec_schemas.manifest import PromptName

router = APIRouter(tags=["nestvec"], responses=error_models("/check"))


class CheckRequest(BaseModel):
    """The texts, as they will be sent to be embedded."""

    inputs: Annotated[list[str], Field(examples=[["file:///pictures/a.png"]])]
    prompt_name: PromptName | None = Field(None, description="Prompt put before each text.")


class UnreadableInput(BaseModel):
    """Why an input cannot be embedded; ``index`` is its place, from 0."""

    index: int
    cause: str
    value: str | None
    next_step: str


class CheckResponse(BaseModel):
    failed: list[UnreadableInput]


@router.post("/check", response_model=CheckResponse, summary="Which inputs cannot be embedded")
async def check(body: CheckRequest, request: Request, query: QueryString) -> CheckResponse:
    """The inputs whose pictures cannot be had. The others are embedded, and remembered for a short while.

    Inputs without a picture are not looked at: what becomes of one that is too long, the request that
    embeds it says.
    """
    check_count(body.inputs, embedder_of(request).settings.max_inputs)
    choice = select_encoder(query)
    encoder = selected_encoder(request, choice, "dense", "sparse")
    places = [place for place, text in enumerate(body.inputs) if text and encoder.sees(text)]
    if not places:
        return CheckResponse(failed=[])
    inputs = [body.inputs[place] for place in places]
    took = await embed_inputs(
        request, EmbedCall(inputs, choice, Policy(on_error="zero"), prompt=body.prompt_name)
    )
    return CheckResponse(
        failed=[
            UnreadableInput(
                index=places[place],
                cause=error.cause,
                value=None if error.value is None else str(error.value),
                next_step=error.next_step,
            )
            for place, error in sorted(took.embedded.failed.items())
        ]
    )
