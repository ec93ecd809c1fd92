"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def args_command(kind: Callable[..., T]) -> type[click.Command]:
    """A class of commands whose function takes one ``kind``, made from all of the options by name."""

    class Gathered(click.Command):
        def invoke(self, ctx: click.Context) -> Any:
            return cast(Callable[[T], Any], self.callback)(kind(**ctx.params))

    return Gathered


_EXAMPLES = {"dims": "384,128", "gpus": "0,1", "exits": "2,3,4"}


def integers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """``384,128`` as numbers; a usage error names the part that is none."""
    if value is None:
        return None
    values = []
    for part in value.split(","):
        try:
            values.append(int(part))
        except ValueError:
            example = _EXAMPLES[param.name or "dims"]
            reason = f"'{part.strip()}' is not a whole number. Write them as {example}."
            raise click.BadParameter(reason, ctx, param) from None
    return tuple(values)


def name_value_pairs(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """``NAME=VALUE``, repeated, as a mapping; a usage error names the one that is none or comes twice."""
    mapping: dict[str, str] = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not (name and equals and rest) or name in mapping:
            reason = f"'{value}' is not NAME={param.metavar or 'VALUE'}, each name once."
            raise click.BadParameter(reason.replace("NAME=NAME=", "NAME="), ctx, param)
        mapping[name] = rest
    return mapping


_URI = "A path that ends in .db (Milvus Lite), or a Milvus address (http://HOST:19530)."


def store_options(command: F) -> F:
    """``--uri``, ``--token`` and ``--database``: which Milvus."""
    uri = click.option("--uri", required=True, envvar="NESTVEC_URI", show_envvar=True, help=_URI)
    return uri(_access_options(command))


def optional_store_options(command: F) -> F:
    """The same for a command that can do without a Milvus."""
    uri = click.option("--uri", default="", envvar="NESTVEC_URI", show_envvar=True, help=_URI)
    return uri(_access_options(command))


def _access_options(command: F) -> F:
    token = click.option(
        "--token",
        default="",
        envvar="NESTVEC_TOKEN",
        show_envvar=True,
        help="Milvus token, or USER:PASSWORD.",
    )
    database = click.option("--database", default="", help="Milvus database, where it has several.")
    return token(database(command))


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
