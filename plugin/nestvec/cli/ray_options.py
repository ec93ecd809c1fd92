"""The options of commands whose encoders run here, or on Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nestvec.cli.options import option, option_group

if TYPE_CHECKING:
    from nestvec.bulk.ordered_pool import OrderedPool

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class RayPoolArgs:
    """The workers of a command."""

    ray: str | None
    """None for this process."""

    workers: int | None
    worker_cpus: float | None
    worker_gpus: float | None

    def prepare(self) -> None:
        """Check the options, before anything else is imported. Raises UsageError for one that needs --ray."""
        options = {
            "--workers": self.workers,
            "--worker-cpus": self.worker_cpus,
            "--worker-gpus": self.worker_gpus,
        }
        if self.ray is not None:
            from nestvec.bulk.forks import allow_forks

            allow_forks()
        elif present := [name for name, value in options.items() if value is not None]:
            raise click.UsageError(f"{present[0]} needs --ray: add it, or omit {present[0]}.")

    @contextmanager
    def pool(self) -> Iterator[OrderedPool | None]:
        """The workers on Ray, which is connected or started for the block; None for this process.

        Raises IngestError.
        """
        if self.ray is None:
            yield None
            return
        from nestvec.bulk.on_ray import RayOptions
        from nestvec.bulk.ordered_pool import ordered_pool

        options = RayOptions(self.ray, self.workers or 0, self.worker_cpus or 0, self.worker_gpus or 0)
        with ordered_pool(options) as pool:
            yield pool


def ray_pool_options(action: str, machines: str) -> Callable[[F], F]:
    """Options of a command. Their help names the ``action`` on Ray, and what the ``machines`` need."""
    return option_group(
        "Ray",
        option(
            "--ray",
            metavar="ADDRESS",
            show_default="in this process",
            help=f"{action} on Ray: local for workers of this machine; auto, HOST:PORT or ray://HOST:10001 "
            f"for those of a cluster, {machines}.",
        ),
        option(
            "--workers",
            type=click.IntRange(1),
            show_default="as many as the cluster has room for",
            help="Workers, at most.",
        ),
        option(
            "--worker-cpus",
            type=click.FloatRange(0, min_open=True),
            show_default="4, or all of the largest node if it has fewer",
            help="CPUs of each worker, and threads of its engine.",
        ),
        option(
            "--worker-gpus",
            type=click.FloatRange(0),
            show_default="none",
            help="GPUs of each worker.",
        ),
    )
