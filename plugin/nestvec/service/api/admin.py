"""``/admin``: what an operator does to the running service. Every path needs a key of ``--admin-keys``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from nestvec.service.api.error_responses import error_models
from nestvec.service.catalog.aliases import MAX_ALIASES
from nestvec.service.catalog.reload import EncoderChanges
from nestvec.service.middleware.api_keys import ApiKeys, bearer_token
from nestvec.service.middleware.context import ADMIN_PATH
from nestvec.service.operation.operations import Operations
from nestvec_schemas.errors import BodyInvalid, BodyNotJson, BodyTooLarge, Unauthorized

_MAX_BODY_BYTES: Final = 256 << 10

_ALIASES = TypeAdapter(
    Annotated[
        dict[Annotated[str, Field(max_length=256)], Annotated[str, Field(max_length=256)] | None],
        Field(max_length=MAX_ALIASES),
    ]
)


class ReloadFailure(BaseModel):
    """Why an encoder, or ``config`` or ``keys``, stayed as it was."""

    name: str
    error: str


class ReloadResponse(BaseModel):
    """What a reload did, by encoder."""

    added: list[str]
    replaced: list[str]
    removed: list[str]
    failed: list[ReloadFailure]
    notes: dict[str, str] = Field(description="What remains to be done for an encoder.")
    aliases: dict[str, str]
    options: list[str] = Field(description="Options that have another value now.")
    needs_restart: list[str] = Field(
        description="Options that have another value in the configuration, which needs a restart."
    )


def _check_key(request: Request) -> None:
    keys: ApiKeys = request.app.state.admin_keys
    key = bearer_token(request.scope["headers"])
    if key is None or not keys.accepts(key):
        raise Unauthorized(
            "this path needs an admin key",
            next_step="Send one from the file that --admin-keys names, as Authorization: Bearer KEY.",
        )


router = APIRouter(
    prefix=ADMIN_PATH.rstrip("/"),
    tags=["Operation"],
    responses=error_models("/admin/reload"),
    dependencies=[Depends(_check_key)],
)


@router.post("/reload", response_model=ReloadResponse, summary="Read keys, options and encoders again")
async def reload(request: Request) -> Response:
    """Adds, replaces and removes encoders without dropping a request; 409 if something stayed as it was."""
    operations = operations_of(request)
    changes = await operations.reload()
    body = _response(changes, operations.aliases)
    return Response(
        body.model_dump_json(), status_code=409 if changes.failed else 200, media_type="application/json"
    )


@router.get("/aliases", response_model=dict[str, str], summary="Aliases, with the encoder of each")
async def aliases(request: Request) -> Mapping[str, str]:
    """Every alias."""
    return dict(operations_of(request).aliases)


@router.post("/aliases", response_model=dict[str, str], summary="Switch aliases, all at once")
async def switch_aliases(request: Request) -> Mapping[str, str]:
    """Sets the aliases in the body, ``{"alias": "encoder"}``, and removes those whose encoder is null.

    Returns all aliases. If one cannot be set, none changes.
    """
    return await operations_of(request).switch_aliases(_parse_aliases(await request.body()))


def operations_of(request: Request) -> Operations:
    """The app's operations."""
    operations: Operations = request.app.state.operations
    return operations


def _response(changes: EncoderChanges, aliases: Mapping[str, str]) -> ReloadResponse:
    return ReloadResponse(
        added=changes.added,
        replaced=changes.replaced,
        removed=changes.removed,
        failed=[ReloadFailure(name=name, error=str(error)) for name, error in changes.failed.items()],
        notes=changes.notes,
        aliases=dict(aliases),
        options=changes.options,
        needs_restart=changes.needs_restart,
    )


def _parse_aliases(body: bytes) -> Mapping[str, str | None]:
    next_step = 'Send an object, for example {"text-embedding-3-small": "minilm:2"}.'
    if len(body) > _MAX_BODY_BYTES:
        raise BodyTooLarge(
            f"the aliases have more than {_MAX_BODY_BYTES} bytes", value=len(body), next_step="Send fewer."
        )
    try:
        return _ALIASES.validate_python(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise BodyNotJson("the body is not JSON", value=str(error), next_step=next_step) from error
    except ValidationError as error:
        cause = error.errors(include_input=False)[0]["msg"]
        raise BodyInvalid(
            "the body does not map aliases to encoders", value=cause, next_step=next_step
        ) from error
