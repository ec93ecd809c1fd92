"""The base of all request bodies: a field that is not known, but meant one that is, is refused."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection
from typing import Any, ClassVar, Final, get_args

from pydantic import BaseModel, model_validator

from nestvec.service.bodies.foreign_fields import Returned, foreign_meaning, plain_name, same_meaning
from nestvec_schemas.errors import BodyInvalid

_SIMILAR: Final = 0.85
"""Names that are at least so similar are taken for a slip (``difflib``'s ratio)."""

_MESSAGES: Final = "messages"
"""What vLLM's embedding and pooling requests may have in place of an input."""


class ApiRequest(BaseModel):
    """A request's body.

    Fields that only other servers know are ignored, as these do. One that resembles a field of this request,
    or changes elsewhere what is returned, is refused: the response would be another than meant.
    So are true, false and strings for a number: pydantic would take ``true`` and ``"1"`` for a length of 1.
    """

    returned: ClassVar[Returned] = "vectors"
    """What the path returns."""

    number_fields: ClassVar[frozenset[str]] = frozenset()
    """The fields that are whole numbers."""
    numbers_as_strings: ClassVar[frozenset[str]] = frozenset()
    """Those that may be strings of digits, too: Milvus Lite sends them so once a database is reopened."""
    field_names: ClassVar[tuple[str, ...]] = ()
    """The fields as a body names them."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        """Note which fields there are, and which are numbers: each request is checked by them."""
        cls.field_names = tuple(field.alias or name for name, field in cls.model_fields.items())
        cls.number_fields = frozenset(
            field.alias or name
            for name, field in cls.model_fields.items()
            if int in (field.annotation, *get_args(field.annotation))
        )

    @model_validator(mode="before")
    @classmethod
    def refuse_mistakes(cls, values: Any) -> Any:
        """Raise BodyInvalid for the first such field."""
        if isinstance(values, dict):
            for name in cls.number_fields & values.keys():
                value = values[name]
                is_digits = isinstance(value, str) and value.isascii() and value.isdigit()
                if isinstance(value, bool | str) and not (is_digits and name in cls.numbers_as_strings):
                    raise BodyInvalid(
                        f"the field {name} is a number",
                        value=json.dumps(value),
                        next_step="Send a whole number without quotes, or omit the field.",
                    )
            fields = cls.field_names
            if _MESSAGES in values and "input" in fields:
                raise BodyInvalid(
                    "messages of a chat are not embedded",
                    value=_MESSAGES,
                    next_step="Send the texts as input.",
                )
            for name in values.keys() - fields:
                check_field(str(name), values[name], fields, cls.returned)
        return values


def check_field(name: str, value: object, fields: Collection[str], returned: Returned) -> None:
    """Raise BodyInvalid for an unknown field that resembles one of ``fields``, or that would change the
    result of another server. A null is ignored."""
    if value is None:
        return
    check_name(name, fields)
    meaning = foreign_meaning(name, value, returned)
    if meaning is not None:
        meant = same_meaning(name, fields)
        raise BodyInvalid(
            f"on this path no field of this name sets {meaning.what}",
            value=name,
            next_step=f"Did you mean '{meant[0]}'?" if meant else meaning.next_step,
        )


def check_name(name: str, fields: Collection[str]) -> None:
    """Raise BodyInvalid for the name of an unknown field that resembles one of ``fields``, or means one."""
    plain = plain_name(name)
    meant = [field for field in fields if plain_name(field) == plain]
    meant = meant or same_meaning(name, fields, always=True)
    meant = meant or difflib.get_close_matches(name[:64], fields, n=1, cutoff=_SIMILAR)
    if meant:
        raise BodyInvalid(
            "the request has a field that this path does not know",
            value=name,
            next_step=f"Did you mean '{meant[0]}'?",
        )
