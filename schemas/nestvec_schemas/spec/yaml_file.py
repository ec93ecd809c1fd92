"""Parse a spec's YAML; errors name the place of a mistake and the nearest valid name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel, ValidationError

from nestvec_schemas.embedding_config import Form
from nestvec_schemas.errors import SpecError, nearest
from nestvec_schemas.manifest import ENCODER_NAME_RULE
from nestvec_schemas.spec.collection_spec import (
    CollectionSpec,
    EmbeddingSpec,
    FieldSpec,
    FieldType,
    IndexType,
    LexicalSpec,
    Metric,
    VectorSpec,
)
from nestvec_schemas.spec.validation import check_spec

MAX_SPEC_BYTES: Final = 1 << 20


def parse_spec(text: str, *, path: str) -> CollectionSpec:
    """Read a spec. Raises SpecError, with ``path`` and the place in it, for anything that is wrong."""
    data = _load_yaml(text, path)
    try:
        spec = CollectionSpec.model_validate(data)
    except ValidationError as error:
        raise _explain(error, path) from error
    check_spec(spec, path=path)
    return spec


class StrictLoader(yaml.SafeLoader):
    """Safe YAML that also refuses aliases and duplicate keys, which no file of ours needs."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key, _ in node.value:
            if key.value in keys and isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key.value}' is duplicated", key.start_mark
                )
            keys.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


def _load_yaml(text: str, path: str) -> Mapping[str, Any]:
    if len(text.encode("utf-8", "surrogatepass")) > MAX_SPEC_BYTES:
        raise SpecError(
            f"{path} is larger than 1 MiB", value=len(text), next_step="Pass a collection spec, not data."
        )
    try:
        data = yaml.load(text, Loader=StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SpecError(
            f"{path} is not valid YAML{where}",
            value=error.problem or "it does not parse",
            next_step="Correct that line; nestvec collection create --help shows a complete spec.",
        ) from error
    # PyYAML does not catch what int(), date(), a lookup or deep nesting raise.
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise SpecError(
            f"{path} is not valid YAML",
            value=type(error).__name__ + ": " + str(error).partition("\n")[0],
            next_step="Correct it; nestvec collection create --help shows a complete spec.",
        ) from error
    if not isinstance(data, Mapping):
        raise SpecError(
            f"{path} is not a mapping of keys to values",
            value=type(data).__name__,
            next_step="Begin with collection: NAME; nestvec collection create --help shows a complete spec.",
        )
    return data


_MODELS: dict[str, tuple[type[BaseModel], int]] = {
    "fields": (FieldSpec, 2),
    "embeddings": (EmbeddingSpec, 2),
    "lexical": (LexicalSpec, 2),
    "vectors": (VectorSpec, 2),
}

_NEXT_STEPS = {
    "tuple_type": "Write a list: [64, 384].",
    "too_short": "Write at least one.",
    "dict_type": "Write a mapping: {key: value}.",
    "model_type": "Write a mapping: {key: value}.",
    "int_type": "Write a whole number, without quotes.",
    "bool_type": "Write true or false, without quotes.",
    "string_type": "Write text, in quotes if it looks like a number, a date, yes or no.",
    "string_pattern_mismatch": ENCODER_NAME_RULE,
}
_EXPERT_NAME_HINT = (
    "Use at most 32 letters, digits, '_' and '-', starting with a letter; nestvec encoders lists the experts."
)
_UNION_KEYS = ("default", "params")


def _explain(error: ValidationError, path: str) -> SpecError:
    """pydantic's first error, unknown keys before others, with its place and the nearest name."""
    details = error.errors(include_url=False)
    first = next((detail for detail in details if detail["type"] == "extra_forbidden"), details[0])
    parts = list(first["loc"])
    if parts[-1] == "[key]":
        where = _location(parts[:-2])
        return SpecError(
            f"{path}: {where} has a key that is not text",
            value=first["input"]
            if isinstance(first["input"], (int, float))
            else type(first["input"]).__name__,
            next_step="Put the key in quotes.",
        )
    # The branches of a union are not places in the spec.
    plain = next((index for index, part in enumerate(parts) if part in _UNION_KEYS and index == 2), None)
    parts = parts if plain is None else parts[: plain + 1 + (parts[plain] == "params")]
    key, here = str(parts[-1]), f"{path}: {_location(parts)}"
    if first["type"] == "extra_forbidden":
        model, depth = _MODELS.get(str(parts[0]), (CollectionSpec, 1))
        names = tuple((model if len(parts) > depth else CollectionSpec).model_fields)
        return SpecError(
            f"{here} is not a key of a spec",
            value=key,
            next_step=f"Keys here: {', '.join(names)}.{nearest(key, names)}",
        )
    if first["type"] == "missing":
        return SpecError(f"{here} is missing", next_step=f"Add {key}: to the spec.")
    value = first["input"]
    value = value if isinstance(value, (str, int, float)) else f"a {type(value).__name__}"
    if first["type"] == "literal_error":
        words = _allowed_words(key)
        return SpecError(
            f"{here} is not one of the allowed values",
            value=value,
            next_step=f"Choose one of {', '.join(words)}.{_nearest_word(str(value), words)}",
        )
    if plain is not None:
        return SpecError(
            f"{here} is invalid", value=value, next_step="Write one number, text, or true or false."
        )
    step = _NEXT_STEPS.get(first["type"], f"{first['msg']}.")
    if key == "expert" and first["type"] == "string_pattern_mismatch":
        step = _EXPERT_NAME_HINT
    return SpecError(f"{here} is invalid", value=value, next_step=step)


def _allowed_words(key: str) -> tuple[str, ...]:
    words = {"index": IndexType, "metric": Metric, "form": Form}.get(key, FieldType)
    return get_args(words)


def _nearest_word(value: str, words: tuple[str, ...]) -> str:
    """Words of a spec are all upper or all lower case."""
    return nearest(value.upper() if words[0].isupper() else value.lower(), words)


def _location(parts: list[Any]) -> str:
    """``embeddings[0].dims`` for ("embeddings", 0, "dims")."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.lstrip(".") or "the spec"
