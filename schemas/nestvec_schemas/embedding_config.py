"""How a field is embedded: one value, from a spec or SQL through Milvus to the service and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal
from urllib.parse import parse_qs

from nestvec_schemas.bridges.bridge import bridged_name
from nestvec_schemas.prompt_roles import role_of
from nestvec_schemas.towers import Role

Form = Literal["float", "int8", "binary", "sparse"]
"""What a vector field holds: float32, int8 with one scale per vector, the sign of each number, or the weights
above zero of a vocabulary's words."""

VECTOR_TYPES: Final[dict[Form, str]] = {
    "float": "FLOAT_VECTOR",
    "int8": "INT8_VECTOR",
    "binary": "BINARY_VECTOR",
    "sparse": "SPARSE_FLOAT_VECTOR",
}
"""Milvus's name for the type of each form's field."""

VECTOR_FORMS: Final[dict[str, Form]] = {type_: form for form, type_ in VECTOR_TYPES.items()}
"""The form of each of Milvus's types of vector fields."""

CLIENT_SIDE_FORMS: Final[frozenset[Form]] = frozenset({"binary", "sparse"})
"""Forms that no Function of Milvus fills: nestvec embeds them as it writes the rows."""


@dataclass(frozen=True)
class Prompts:
    """The prompts that are put before texts."""

    document: str = ""
    """Before a text that is stored."""

    query: str = ""
    """Before a text that is searched for."""

    default: str = ""
    """What the service puts before a text if a request names no prompt."""


@dataclass(frozen=True)
class EmbeddingConfig:
    """How a text, or an image, becomes the vector of one field."""

    encoder: str = ""
    """Name of the encoder; empty for the only one of a service."""

    dim: int | None = None
    """Length of the vector, a prefix of the encoder's own; None for all of it."""

    exit: int | None = None
    """Layer that the encoder stops after; None for the deepest."""

    expert: str | None = None
    """Expert whose weights are used; None for the encoder's own."""

    form: Form = "float"
    """What the field holds."""

    top: int | None = None
    """Number of largest weights that a sparse vector keeps; None for all."""

    prompt: str | None = None
    """Name of the prompt before documents, and before queries unless ``query_prompt`` names another; empty
    for none, None for the encoder's own of each role."""

    query_prompt: str | None = None
    """Name of the prompt before queries."""

    prompts: Prompts = field(default=Prompts(), compare=False)
    """What is put before texts. It follows from the encoder and the names, and so does not distinguish two
    values."""

    fingerprint: str | None = field(default=None, compare=False)
    """Fingerprint of the encoder that the field was registered with (``nestvec_schemas.fingerprint``); None
    if it is not recorded. It is for comparing with the service's; a caller names an encoder, not a
    fingerprint, and so it does not distinguish two values."""

    def prompt_name(self, role: Role) -> str:
        """The name of the prompt before a query or a document; a document's own is not put before queries."""
        if role == "document":
            return "document" if self.prompt is None else self.prompt
        if self.query_prompt is not None:
            return self.query_prompt
        return "query" if self.prompt is None or role_of(self.prompt) == "document" else self.prompt

    @property
    def is_symmetric(self) -> bool:
        """Whether one named prompt is for queries and documents alike."""
        return self.prompt is not None and self.prompt_name("query") == self.prompt

    def texts_of(self, prompts: Mapping[str, str], default: str | None) -> Prompts:
        """The texts of an encoder's prompts that are meant; ``default`` names the encoder's default."""
        document, query = (prompts.get(self.prompt_name(role), "") for role in ("document", "query"))
        return Prompts(document, query, prompts.get(default or "", ""))

    def attributes(self) -> dict[str, Any]:
        """What distinguishes two values, by name."""
        return {
            attribute.name: getattr(self, attribute.name) for attribute in fields(self) if attribute.compare
        }


_PARAMETERS: Final[Mapping[str, Callable[[str], str | int]]] = {
    "encoder": str,
    "dim": int,
    "exit": int,
    "expert": str,
    "top": int,
    "prompt": str,
    "query_prompt": str,
    "fingerprint": str,
}
"""The attributes that an endpoint's query string holds, and how each is read from it. The form is the type
of the field, and the prompts' texts have parameters of their own in Milvus."""


def query_parameters(config: EmbeddingConfig) -> dict[str, str | int]:
    """The attributes of ``config`` that are set, as parameters of an endpoint's query string."""
    values = {name: getattr(config, name) for name in _PARAMETERS}
    return {name: value for name, value in values.items() if value is not None}


def parse_query(query: str) -> EmbeddingConfig | None:
    """What ``query_parameters`` wrote; None for a query string that names no encoder.

    The encoder of one that also names another's space, ``as``, is the bridge between them. Raises ValueError
    if a number is malformed.
    """
    texts = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
    if "encoder" not in texts:
        return None
    attributes: dict[str, Any] = {
        name: read(texts[name]) for name, read in _PARAMETERS.items() if name in texts
    }
    if "as" in texts:
        attributes["encoder"] = bridged_name(texts["encoder"], texts["as"])
    return EmbeddingConfig(**attributes)
