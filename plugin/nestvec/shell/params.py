"""Values of parameters from the command line: ``--param name=value``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click


def parse_params(options: Iterable[str]) -> dict[str, Any]:
    """Values by name: JSON if they are valid JSON (1, true, [1, 2], "text"), else the text itself.

    Raises click.BadParameter for an option without a name.
    """
    params = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals or not name.isidentifier():
            context = click.get_current_context(silent=True)
            raise click.BadParameter(f"'{option}' is not name=value.", context, param_hint="--param")
        params[name] = _value(text)
    return params


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda name: name)
    except (ValueError, RecursionError):
        return text
