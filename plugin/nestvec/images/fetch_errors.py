"""The errors of fetching pictures, so that each is worded once."""

from __future__ import annotations

from nestvec_schemas.errors import ImageRefused, ImageUnreachable


def refused(why: str, shown: str, allow: str) -> ImageRefused:
    """The policy forbids it. ``allow``: what whoever runs the service would have to allow."""
    return ImageRefused(
        f"the service fetches no picture {why}",
        value=shown,
        next_step=f"Store the picture elsewhere, or have the service allow {allow}.",
    )


def malformed(why: str, shown: str, next_step: str) -> ImageRefused:
    """The address is wrong in itself. ``why`` continues "a picture's address"."""
    return ImageRefused(f"a picture's address {why}", value=shown, next_step=next_step)


def unreachable(why: str, shown: str) -> ImageUnreachable:
    """``why`` continues "the picture cannot be fetched: "."""
    return ImageUnreachable(
        f"the picture cannot be fetched: {why}",
        value=shown,
        next_step="Check the address, and that the service can reach it.",
    )


def too_large(limit: int, shown: str) -> ImageUnreachable:
    """More than ``limit`` bytes came, or were announced."""
    return ImageUnreachable(
        f"the picture has more than {limit} bytes",
        value=shown,
        next_step="Store a smaller one, or have the service take more bytes a picture.",
    )


def too_slow(seconds: float, shown: str) -> ImageUnreachable:
    """It did not come within ``seconds``."""
    return ImageUnreachable(
        f"the picture did not come within {seconds:g} seconds",
        value=shown,
        next_step="Try again, or store it nearer to the service.",
    )
