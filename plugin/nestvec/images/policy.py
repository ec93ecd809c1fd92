"""What a service fetches pictures from, and how much of them it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args
from urllib.parse import urlsplit

from nestvec.images.address import Scheme
from nestvec_schemas.errors import ServiceError

MAX_PIXELS: Final = 178_956_970
"""Where Pillow itself takes a picture for a decompression bomb, whatever the policy says."""


@dataclass(frozen=True)
class ImagePolicy:
    """The defaults are safe for a service whose texts strangers write.

    ``schemes``: ``data`` carries its picture and fetches nothing; ``https`` reaches public hosts only, and
    what comes cannot be changed on the way. ``http`` can be, and is what a machine's own metadata services
    speak; ``file`` and ``s3`` read with the service's rights rather than the writer's. So these three must
    be asked for, the last two with the ``roots`` (folders) or ``buckets`` (``*``: any) they may read.
    ``hosts``: of ``http`` and ``https``, as ``example.org`` or ``*.example.org`` (its subdomains); without
    any, all of them. ``allow_private``: hosts whose addresses are not public, such as a store of one's own;
    link-local addresses and those of clouds' metadata are refused even so.
    ``s3_endpoint``: of a store that is not Amazon's. The limits are of one picture: ``max_bytes`` as it is
    fetched, ``max_seconds`` for all of the fetching, ``max_pixels`` decoded, ``max_redirects`` followed;
    ``at_once`` pictures of one batch are fetched together.
    """

    schemes: frozenset[Scheme] = frozenset({"data", "https"})
    hosts: tuple[str, ...] = ()
    allow_private: bool = False
    roots: tuple[Path, ...] = ()
    buckets: tuple[str, ...] = ()
    s3_endpoint: str | None = None
    max_bytes: int = 20 << 20
    max_seconds: float = 10.0
    max_pixels: int = 50_000_000
    max_redirects: int = 3
    at_once: int = 16

    def __post_init__(self) -> None:
        for name, value, right, hint in self._checks():
            if not right:
                raise ServiceError(f"pictures cannot be fetched so: {name}", value=value, next_step=hint)

    def _checks(self) -> tuple[tuple[str, object, bool, str], ...]:
        known_schemes = get_args(Scheme)
        endpoint = urlsplit(self.s3_endpoint) if self.s3_endpoint is not None else None
        return (
            (
                "schemes",
                sorted(self.schemes),
                self.schemes <= set(known_schemes),
                f"Choose from {', '.join(known_schemes)}.",
            ),
            (
                "hosts",
                self.hosts,
                all(map(_is_host_pattern, self.hosts)),
                "Write example.org or *.example.org.",
            ),
            ("roots", "none", "file" not in self.schemes or bool(self.roots), "Name the folders of file:."),
            (
                "roots",
                [str(root) for root in self.roots],
                all(root.is_absolute() for root in self.roots),
                "Name them from /.",
            ),
            ("buckets", "none", "s3" not in self.schemes or bool(self.buckets), "Name the buckets, or *."),
            (
                "s3_endpoint",
                self.s3_endpoint,
                endpoint is None or (endpoint.scheme in ("http", "https") and bool(endpoint.hostname)),
                "Give a URL, such as https://store.example.org.",
            ),
            ("max_bytes", self.max_bytes, self.max_bytes > 0, "Give at least 1."),
            (
                "max_seconds",
                self.max_seconds,
                self.max_seconds > 0 and math.isfinite(self.max_seconds),
                "Give a time above 0.",
            ),
            (
                "max_pixels",
                self.max_pixels,
                0 < self.max_pixels <= MAX_PIXELS,
                f"Give 1 to {MAX_PIXELS}.",
            ),
            ("max_redirects", self.max_redirects, self.max_redirects >= 0, "Give at least 0."),
            ("at_once", self.at_once, self.at_once > 0, "Give at least 1."),
        )

    def takes_host(self, host: str) -> bool:
        """Whether pictures may come from ``host``: in ASCII, as a URL has it."""
        name = host.lower().rstrip(".")
        return not self.hosts or any(_matches_host(name, pattern.lower()) for pattern in self.hosts)


def _matches_host(name: str, pattern: str) -> bool:
    return name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern.rstrip(".")


def _is_host_pattern(pattern: str) -> bool:
    name = pattern.removeprefix("*.")
    return bool(name) and name.isascii() and not set(name) & set("*/@? ,") and not name.startswith(".")
