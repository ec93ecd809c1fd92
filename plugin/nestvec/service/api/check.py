"""``/check``: which inputs cannot be embedded, before a client embeds many of them in one request."""

from __future__ import annotations

from typing import Annotated, ClassVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from nestvec.service.api.common import EmbedCall, check_count, embed_inputs, embedder_of, selected_encoder
from nestvec.service.api.error_responses import error_models
from nestvec.service.api.request_model import ApiRequest
from nestvec.service.api.selection import PROMPT_DESCRIPTION, QueryString, select_encoder
from nestvec.service.bodies.fields import Texts
from nestvec.service.bodies.foreign_fields import Returned
from nestvec.service.bodies.route import BodyRoute
from nestvec.service.preprocess.truncation import Truncation
from nestvec_schemas.errors import BodyInvalid
from nestvec_schemas.manifest import PromptName
from nestvec_schemas.message_text import shown

router = APIRouter(tags=["nestvec"], responses=error_models("/check"), route_class=BodyRoute)


class CheckRequest(ApiRequest):
    """The texts, as they will be sent to be embedded."""

    returned: ClassVar[Returned] = "tokens"

    inputs: Annotated[Texts, Field(examples=[["file:///images/a.png"]])]
    prompt_name: PromptName | None = Field(None, description=PROMPT_DESCRIPTION)


class UnreadableInput(BaseModel):
    """Why an input cannot be embedded; ``index`` is its position, from 0."""

    index: int
    cause: str
    value: str | None
    next_step: str


class CheckResponse(BaseModel):
    failed: list[UnreadableInput]


@router.post("/check", response_model=CheckResponse, summary="Find the inputs that cannot be embedded")
async def check(body: CheckRequest, request: Request, query: QueryString) -> CheckResponse:
    """The inputs whose images cannot be fetched or read. The others are embedded and cached.

    Inputs without an image are not checked: the request that embeds an overlong text reports it.
    """
    check_count(body.inputs, embedder_of(request).settings.load.inputs)
    config = select_encoder(query)
    encoder = selected_encoder(request, config, "dense", "sparse")
    places = [place for place, text in enumerate(body.inputs) if text and encoder.has_image(text)]
    if query.modality == "image" and len(places) < len(body.inputs):
        raise BodyInvalid(
            "not all inputs are addresses of images",
            value=f"{len(places)} of {len(body.inputs)} are",
            next_step="Omit modality=image from the address.",
        )
    if not places or query.modality == "text":
        return CheckResponse(failed=[])
    call = EmbedCall(
        inputs=[body.inputs[place] for place in places],
        config=config,
        truncation=Truncation(),
        on_error="zero",
        prompt=body.prompt_name,
    )
    result = await embed_inputs(request, call)
    return CheckResponse(
        failed=[
            UnreadableInput(
                index=places[position],
                cause=error.cause,
                value=None if error.value is None else shown(error.value),
                next_step=error.next_step,
            )
            for position, error in sorted(result.failed.items())
        ]
    )
