"""The errors of fetching images, each worded once."""

from __future__ import annotations

from nestvec_schemas.errors import ImageRefused, ImageUnreachable


def refused(source: str, shown: str, setting: str) -> ImageRefused:
    """The policy forbids ``source``. ``setting`` is what the operator of the service would have to allow."""
    return ImageRefused(
        f"the service fetches no images {source}",
        value=shown,
        next_step=f"Store the image elsewhere, or have the service allow {setting}.",
    )


def malformed(problem: str, shown: str, next_step: str) -> ImageRefused:
    """The address itself is wrong. ``problem`` continues "an image's address"."""
    return ImageRefused(f"an image's address {problem}", value=shown, next_step=next_step)


def unreachable(reason: str, shown: str) -> ImageUnreachable:
    """``reason`` continues "the image cannot be fetched: "."""
    return ImageUnreachable(
        f"the image cannot be fetched: {reason}",
        value=shown,
        next_step="Check the address, and that the service can reach it.",
    )


def too_large(max_bytes: int, shown: str) -> ImageUnreachable:
    """More than ``max_bytes`` bytes arrived, or were announced."""
    return ImageUnreachable(
        f"the image has more than {max_bytes} bytes",
        value=shown,
        next_step="Store a smaller one.",
    )


def too_slow(seconds: float, shown: str) -> ImageUnreachable:
    """It did not arrive within ``seconds``."""
    return ImageUnreachable(
        f"the image did not arrive within {seconds:g} seconds",
        value=shown,
        next_step="Try again, or store it nearer to the service.",
    )
