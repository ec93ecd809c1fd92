"""``/check``: which inputs cannot be embedded, before somebody embeds many of them in one request."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from nestvec.service.api.call import Ask, check_count, chosen, embedder_of, run
from nestvec.service.api.choice import QueryString, choose_from
from nestvec.service.api.error_responses import refusals
from nestvec.service.batching.truncation import Policy
from nestvec_schemas.manifest import PromptName

router = APIRouter(tags=["nestvec"], responses=refusals("/check"))


class CheckRequest(BaseModel):
    """The texts, as they will be sent to be embedded."""

    inputs: Annotated[list[str], Field(examples=[["file:///pictures/a.png"]])]
    prompt_name: PromptName | None = Field(None, description="Prompt put before each text.")


class Unread(BaseModel):
    """Why an input cannot be embedded; ``index`` is its place, from 0."""

    index: int
    cause: str
    value: str | None
    next_step: str


class CheckAnswer(BaseModel):
    failed: list[Unread]


@router.post("/check", response_model=CheckAnswer, summary="Which inputs cannot be embedded")
async def check(body: CheckRequest, request: Request, query: QueryString) -> CheckAnswer:
    """The inputs whose pictures cannot be had. The others are embedded, and remembered for a short while.

    Inputs without a picture are not looked at: what becomes of one that is too long, the request that
    embeds it says.
    """
    check_count(body.inputs, embedder_of(request).settings.max_inputs)
    choice = choose_from(query)
    encoder = chosen(request, choice, "dense", "sparse")
    places = [at for at, one in enumerate(body.inputs) if one and encoder.sees(one)]
    if not places:
        return CheckAnswer(failed=[])
    inputs = [body.inputs[at] for at in places]
    took = await run(request, Ask(inputs, choice, Policy(on_error="zero"), prompt=body.prompt_name))
    return CheckAnswer(
        failed=[
            Unread(
                index=places[at],
                cause=error.cause,
                value=None if error.value is None else str(error.value),
                next_step=error.next_step,
            )
            for at, error in sorted(took.embedded.failed.items())
        ]
    )
