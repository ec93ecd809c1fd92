"""Where a service fetches images from, and how much of them it reads."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args
from urllib.parse import urlsplit

from nestvec.images.address import Scheme
from nestvec_schemas.errors import ServiceError

MAX_PIXELS: Final = 178_956_970
"""The size from which Pillow itself takes an image for a decompression bomb."""

_Check = tuple[str, object, bool, str]
"""The name of a field, its value, whether that is valid, and what to do otherwise."""


@dataclass(frozen=True)
class ImageLimits:
    """How much of one image is read, and of all images at a time."""

    max_bytes: int = 20 << 20
    """As it is fetched."""
    max_seconds: float = 10.0
    """For all of the fetching."""
    max_pixels: int = 50_000_000
    """As it is decoded."""
    max_side: int = 65_535
    """Of the longer side in pixels, which is also a JPEG's limit: resizing keeps weights for each of them."""
    max_memory: int = 200 << 20
    """For decoding, over all large images of a service at a time; one that takes more, up to twice as much,
    is decoded alone. Images that take an eighth of it or less have a quarter of it to themselves. The same
    again for images as they are fetched, and for those that wait to be embedded."""
    max_redirects: int = 3
    max_concurrent: int = 16
    """Images of one batch that are fetched at the same time."""

    @property
    def max_decoding_bytes(self) -> int:
        """The most that decoding one image may take."""
        return 2 * self.max_memory

    def __post_init__(self) -> None:
        seconds_valid = self.max_seconds > 0 and math.isfinite(self.max_seconds)
        pixels_valid = 0 < self.max_pixels <= MAX_PIXELS
        _check_all(
            (
                ("max_bytes", self.max_bytes, self.max_bytes > 0, "Use at least 1."),
                ("max_seconds", self.max_seconds, seconds_valid, "Use a time above 0."),
                ("max_pixels", self.max_pixels, pixels_valid, f"Use 1 to {MAX_PIXELS}."),
                ("max_side", self.max_side, self.max_side > 0, "Use at least 1."),
                ("max_memory", self.max_memory, self.max_memory > 0, "Use at least 1."),
                ("max_redirects", self.max_redirects, self.max_redirects >= 0, "Use at least 0."),
                ("max_concurrent", self.max_concurrent, self.max_concurrent > 0, "Use at least 1."),
            )
        )


@dataclass(frozen=True)
class ImagePolicy:
    """Where images may come from. The defaults are safe for a service whose texts are written by strangers.

    ``data`` carries its image and fetches nothing; ``https`` reaches public hosts only, and its content
    cannot be changed in transit. ``http`` content can be, and the metadata services of clouds speak ``http``;
    ``file`` and ``s3`` read with the service's rights rather than the writer's. So these three must be
    enabled explicitly, the last two with the roots or buckets that they may read.
    """

    schemes: frozenset[Scheme] = frozenset({"data", "https"})
    hosts: tuple[str, ...] = ()
    """For ``http`` and ``https``: ``example.org``, or ``*.example.org`` for its subdomains; empty for all."""
    allow_private: bool = False
    """Allow hosts whose addresses are not public, such as a store of one's own. Link-local addresses and
    those of clouds' metadata services are refused even so."""
    roots: tuple[Path, ...] = ()
    """The folders that ``file`` may read."""
    buckets: tuple[str, ...] = ()
    """The buckets that ``s3`` may read; ``*`` stands for any."""
    s3_endpoint: str | None = None
    """The URL of an S3 store other than Amazon's."""
    limits: ImageLimits = field(default_factory=ImageLimits)

    def __post_init__(self) -> None:
        known_schemes = get_args(Scheme)
        endpoint = urlsplit(self.s3_endpoint) if self.s3_endpoint is not None else None
        hosts_valid = all(map(_is_host_pattern, self.hosts))
        roots_given = "file" not in self.schemes or bool(self.roots)
        roots_absolute = all(root.is_absolute() for root in self.roots)
        buckets_given = "s3" not in self.schemes or bool(self.buckets)
        endpoint_valid = endpoint is None or (
            endpoint.scheme in ("http", "https") and bool(endpoint.hostname)
        )
        _check_all(
            (
                (
                    "schemes",
                    sorted(self.schemes),
                    self.schemes <= set(known_schemes),
                    f"Available: {', '.join(known_schemes)}.",
                ),
                ("hosts", self.hosts, hosts_valid, "Write example.org or *.example.org."),
                ("roots", "none", roots_given, "Name the folders that file: may read."),
                ("roots", [str(root) for root in self.roots], roots_absolute, "Use absolute paths."),
                ("buckets", "none", buckets_given, "Name the buckets that s3: may read, or *."),
                (
                    "s3_endpoint",
                    self.s3_endpoint,
                    endpoint_valid,
                    "Use a URL, such as https://store.example.org.",
                ),
            )
        )

    def allows_host(self, host: str) -> bool:
        """Whether images may come from ``host``, in ASCII as in a URL."""
        name = host.lower().rstrip(".")
        return not self.hosts or any(_matches_host(name, pattern.lower()) for pattern in self.hosts)


def _check_all(checks: Iterable[_Check]) -> None:
    for name, value, valid, next_step in checks:
        if not valid:
            raise ServiceError(f"the image policy has invalid {name}", value=value, next_step=next_step)


def _matches_host(name: str, pattern: str) -> bool:
    return name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern.rstrip(".")


def _is_host_pattern(pattern: str) -> bool:
    name = pattern.removeprefix("*.")
    return bool(name) and name.isascii() and not set(name) & set("*/@? ,") and not name.startswith(".")
