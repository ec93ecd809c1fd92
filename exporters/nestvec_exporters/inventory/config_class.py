"""Which keys of a ``config.json`` the installed transformers reads for its model type."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from nestvec_exporters.checkpoints.checkpoint import OWN_ARCHITECTURES

_LEGACY_ROPE: Final = frozenset({"rope_theta", "rope_scaling", "partial_rotary_factor", "rope_type"})
"""Keys that transformers converts to ``rope_parameters``."""


def config_class(model_type: str) -> Any:
    """transformers' configuration class of a model type; None if there is none. Takes seconds once."""
    from transformers import CONFIG_MAPPING  # noqa: PLC0415 - slow

    if model_type in OWN_ARCHITECTURES:
        import_module(OWN_ARCHITECTURES[model_type])
    return CONFIG_MAPPING[model_type] if model_type in CONFIG_MAPPING else None  # noqa: SIM401 - not a dict


def sub_config_class(owner: Any, key: str, content: dict[str, Any]) -> Any:
    """The class of a nested configuration such as ``text_config``; None if it is not one."""
    named = content.get("model_type")
    own = (getattr(owner, "sub_configs", None) or {}).get(key)
    if isinstance(named, str) and (class_named := config_class(named)) is not None:
        return class_named
    return own if isinstance(own, type) and hasattr(own, "sub_configs") else None


@lru_cache(maxsize=64)
def attributes(of: Any) -> frozenset[str]:
    """The keys that a configuration class has attributes for, under any of their names."""
    names = set(vars(_general())) | set(getattr(of, "attribute_map", {}))
    names |= {field.name for field in fields(of)} if is_dataclass(of) else set()
    for base in of.__mro__[:-1]:
        names |= set(getattr(base, "__annotations__", {}))
    names |= _derived_keys(of)
    if "rope_parameters" in names:
        names |= _LEGACY_ROPE
    return frozenset(names)


def _derived_keys(of: Any) -> set[str]:
    """The keys that the class writes of itself: attributes that it derives from others, and properties."""
    names = {name for name in dir(of) if isinstance(getattr(of, name, None), property)}
    try:
        default = of()
    except Exception:  # a class may have no defaults, and validates them in its own way
        return names
    return names | set(vars(default)) | set(default.to_dict())


def appears_in_code(of: Any, key: str) -> bool:
    """Whether the code of a configuration class's architecture names a key: read by ``getattr``, or under a
    name from before it became another attribute."""
    return (
        re.search(rf"config\.{re.escape(key)}\b|[\"']{re.escape(key)}[\"']", _source(of.__module__))
        is not None
    )


@lru_cache(maxsize=64)
def _source(module: str) -> str:
    spec = find_spec(module)
    origin = spec.origin if spec is not None else None
    if origin is None:
        return ""
    paths = [Path(origin), *Path(origin).parent.glob("modeling_*.py")]
    return "\n".join(path.read_text("utf-8") for path in dict.fromkeys(paths))


@lru_cache(maxsize=1)
def _general() -> Any:
    from transformers import PretrainedConfig  # noqa: PLC0415 - slow

    return PretrainedConfig()
