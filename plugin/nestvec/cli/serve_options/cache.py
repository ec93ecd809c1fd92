"""How many embeddings the service remembers, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from nestvec.cli.options import option, option_group
from nestvec.cli.serve_options.sizes import Bytes

if TYPE_CHECKING:
    from nestvec.service.settings import CacheLimits

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class CacheArgs:
    """How many embeddings the service remembers, and for how long."""

    cache_size: int
    cache_seconds: float

    def limits(self) -> CacheLimits:
        """The service's limits."""
        from nestvec.service.settings import CacheLimits

        return CacheLimits(max_bytes=self.cache_size, seconds=self.cache_seconds)


def cache_options(command: F) -> F:
    """The fields of CacheArgs."""
    return option_group(
        "Cache",
        option(
            "--cache-size",
            type=Bytes(),
            default="64MiB",
            metavar="SIZE",
            help="Embeddings that are remembered, for each encoder: a text comes once for each nested field, "
            "and again after a deadline.",
        ),
        option(
            "--cache-seconds",
            type=click.FloatRange(0, 1_000_000),
            default=600,
            help="How long they are remembered.",
        ),
    )(command)
