"""What the service reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import click

from nestvec.cli.options import option, option_group

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class ObservabilityArgs:
    """What the service reports."""

    log_format: Literal["text", "json"]
    otlp_endpoint: str | None


def observability_options(command: F) -> F:
    """The fields of ObservabilityArgs."""
    return option_group(
        "Observability",
        option(
            "--log-format",
            type=click.Choice(["text", "json"]),
            default="text",
            help="Format of the log on standard error; nestvec -v serve logs every request.",
        ),
        option("--otlp-endpoint", metavar="URL", help="OTLP/HTTP collector to send traces to."),
    )(command)
