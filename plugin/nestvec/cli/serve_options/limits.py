"""How much work the service accepts, and how long one request may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from nestvec.cli.options import option, option_group
from nestvec.cli.serve_options.sizes import Bytes
from nestvec.milvus.tries import try_seconds

if TYPE_CHECKING:
    from nestvec.service.settings import LoadLimits

F = TypeVar("F", bound=Callable[..., object])

_MAX_DEADLINE_SECONDS = 55.0
_SECONDS = click.FloatRange(0.1, 3600)


@dataclass(frozen=True)
class LimitArgs:
    """How much work the service accepts, and how long one request may take."""

    deadline_seconds: float
    max_deadline_seconds: float | None
    milvus_deadline_seconds: float
    max_requests: int
    queue_tokens: int
    client_share: float
    max_inputs: int
    max_body: int
    body_memory: int

    def load(self) -> LoadLimits:
        """The service's limits. Raises click's UsageError for deadlines that contradict each other."""
        from nestvec.service.settings import BodyLimits, LoadLimits

        longest = self.max_deadline_seconds
        if longest is not None and longest < self.deadline_seconds:
            raise click.UsageError(
                f"--max-deadline-seconds {longest:g} is less than --deadline-seconds "
                f"{self.deadline_seconds:g}. Raise it, or omit it."
            )
        return LoadLimits(
            requests=self.max_requests,
            queue_tokens=self.queue_tokens,
            client_share=self.client_share,
            deadline_seconds=self.deadline_seconds,
            max_deadline_seconds=longest or max(_MAX_DEADLINE_SECONDS, self.deadline_seconds),
            milvus_deadline_seconds=self.milvus_deadline_seconds,
            inputs=self.max_inputs,
            body_bytes=self.max_body,
            bodies=BodyLimits(memory_bytes=self.body_memory),
        )


def limit_options(command: F) -> F:
    """The fields of LimitArgs."""
    return option_group(
        "Limits",
        option(
            "--deadline-seconds",
            type=_SECONDS,
            default=25,
            help="For one request, from its first byte to its response, unless it states a deadline.",
        ),
        option(
            "--max-deadline-seconds",
            type=_SECONDS,
            show_default="55, or --deadline-seconds if that is more",
            help="The longest deadline that a request may state, and that of OpenAI's paths. Milvus Lite "
            "waits 60 s.",
        ),
        option(
            "--milvus-deadline-seconds",
            type=_SECONDS,
            default=try_seconds(),
            help="For a request of a Milvus server that states no deadline. Milvus waits 30 s, for three "
            "tries.",
        ),
        option("--max-requests", type=click.IntRange(1, 1_000_000), default=2048, help="Requests in flight."),
        option(
            "--queue-tokens",
            type=click.IntRange(1, 1 << 40),
            default=1 << 21,
            help="Tokens that wait for the engine, for each encoder.",
        ),
        option(
            "--client-share",
            type=click.FloatRange(0.001, 1),
            default=0.5,
            help="Part of what other clients leave, of the requests in flight and of the queue, that one "
            "client may take; with 1 there is no room kept for others.",
        ),
        option(
            "--max-inputs",
            type=click.IntRange(1, 1_000_000),
            default=2048,
            help="Texts in one request. Milvus Lite sends up to 2048.",
        ),
        option("--max-body", type=Bytes(), default="32MiB", metavar="SIZE", help="Body of one request."),
        option(
            "--body-memory",
            type=Bytes(),
            default="256MiB",
            metavar="SIZE",
            help="Bodies of all requests that the service holds at a time.",
        ),
    )(command)
