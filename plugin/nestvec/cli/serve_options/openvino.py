"""How OpenVINO runs the encoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import click

from nestvec.cli.options import option, option_group

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class OpenVinoArgs:
    """How OpenVINO runs the encoders."""

    precision: Literal["auto", "bf16", "fp32"]
    engine_cache: Path | None


def openvino_options(command: F) -> F:
    """The fields of OpenVinoArgs."""
    return option_group(
        "OpenVINO",
        option(
            "--precision",
            type=click.Choice(["auto", "bf16", "fp32"]),
            default="auto",
            help="What OpenVINO computes in. auto: bf16 if the CPU has it and the vectors of some inputs "
            "keep a cosine of 0.9999 to those in fp32, else fp32.",
        ),
        option(
            "--engine-cache",
            type=click.Path(path_type=Path, file_okay=False),
            show_default="a folder in the user's cache",
            help="Folder for what OpenVINO compiled, which later starts load. No other user may be able to "
            "write to it.",
        ),
    )(command)
