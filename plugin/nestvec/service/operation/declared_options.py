"""What the command line and the config file declare, which a reload reads again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nestvec.service.settings import ServiceSettings


@dataclass(frozen=True)
class DeclaredOptions:
    """What a running service is to take up."""

    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other names, with the encoder of each."""

    encoders: tuple[str, ...] | None = None
    """The encoders to serve, empty for all of the repository; None for those of before."""

    settings: ServiceSettings | None = None
    """None for those of before."""

    options: Mapping[str, object] = field(default_factory=dict)
    """The options that these come from, by name, with their values."""

    needs_restart: tuple[str, ...] = ()
    """Options whose values differ from those that the service was started with, and that it takes up only
    at a start."""


DeclaredSource = Callable[[], DeclaredOptions]
"""Reads them. Raises NestvecError."""


def changed_options(before: DeclaredOptions, after: DeclaredOptions) -> list[str]:
    """The options that have another value now."""
    return sorted(
        name
        for name, value in after.options.items()
        if name in before.options and before.options[name] != value
    )
