"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def store_options(command: F) -> F:
    """``--uri``, ``--token`` and ``--database``: which Milvus."""
    for option in (
        click.option("--database", default="", help="Milvus database, where it has several."),
        click.option(
            "--token",
            default="",
            envvar="NESTVEC_TOKEN",
            show_envvar=True,
            help="Milvus token, or USER:PASSWORD.",
        ),
        click.option(
            "--uri",
            required=True,
            envvar="NESTVEC_URI",
            show_envvar=True,
            help="A path that ends in .db (Milvus Lite), or a Milvus address (http://HOST:19530).",
        ),
    ):
        command = option(command)
    return command


def models_option(command: F) -> F:
    """``--models``: the model repository."""
    return click.option(
        "--models",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("models"),
        show_default=True,
        envvar="NESTVEC_MODELS",
        show_envvar=True,
        help="Folder with the exported encoders.",
    )(command)


def json_option(command: F) -> F:
    """``--json``: for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)
