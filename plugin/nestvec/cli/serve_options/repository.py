"""Which encoders are served, and what happens to texts that are too long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import click

from nestvec.cli.options import encoder_option, models_option, name_value_pairs, option, option_group

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class RepositoryArgs:
    """Which encoders are served."""

    models: Path

    encoder: tuple[str, ...]
    """The encoders to serve; empty for all in the repository."""

    alias: dict[str, str]
    """Other names, with the encoder of each."""

    overlong: Literal["error", "truncate", "mean"]


def repository_options(command: F) -> F:
    """The fields of RepositoryArgs."""
    return models_option(
        option_group(
            "Encoders",
            encoder_option("--encoder", help="Serve only this encoder (repeatable)."),
            option(
                "--alias",
                multiple=True,
                callback=name_value_pairs,
                metavar="NAME=ENCODER",
                help="Another name for an encoder, such as text-embedding-3-small=minilm (repeatable).",
            ),
            option(
                "--overlong",
                type=click.Choice(["error", "truncate", "mean"]),
                default="truncate",
                help="What to do with a text longer than the encoder takes, unless a request says. error: "
                "reject the request. truncate: truncate the text. mean: average the vectors of its chunks.",
            ),
        )(command)
    )
