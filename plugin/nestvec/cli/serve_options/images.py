"""Where images may come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import click

from nestvec.cli.options import option, option_group

if TYPE_CHECKING:
    from nestvec.images import ImagePolicy
    from nestvec.images.address import Scheme

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class ImageArgs:
    """Where images may come from."""

    image_scheme: tuple[Scheme, ...]
    image_host: tuple[str, ...]
    image_root: tuple[Path, ...]
    image_bucket: tuple[str, ...]
    image_private: bool
    image_memory: int
    s3_endpoint: str | None
    on_error: Literal["reject", "zero"]

    def policy(self) -> ImagePolicy:
        """From where images may be fetched."""
        from nestvec.images import ImageLimits, ImagePolicy

        schemes: set[Scheme] = set(self.image_scheme) or {"data", "https"}
        schemes |= {"file"} if self.image_root else set()
        schemes |= {"s3"} if self.image_bucket else set()
        return ImagePolicy(
            schemes=frozenset(schemes),
            hosts=self.image_host,
            allow_private=self.image_private,
            roots=self.image_root,
            buckets=self.image_bucket,
            s3_endpoint=self.s3_endpoint,
            limits=ImageLimits(max_memory=self.image_memory << 20),
        )


def image_options(command: F) -> F:
    """The fields of ImageArgs."""
    return option_group(
        "Images",
        option(
            "--image-scheme",
            multiple=True,
            type=click.Choice(["data", "https", "http", "file", "s3"]),
            show_default="data, https, and the schemes of the roots and buckets",
            help="Scheme that an image's address may have (repeatable).",
        ),
        option(
            "--image-host",
            multiple=True,
            metavar="HOST",
            help="Fetch only from HOST, or *.HOST (repeatable).",
        ),
        option(
            "--image-root",
            multiple=True,
            type=click.Path(path_type=Path, file_okay=False, exists=True, resolve_path=True),
            help="Folder that file: addresses may read (repeatable).",
        ),
        option(
            "--image-bucket", multiple=True, metavar="BUCKET", help="Bucket that s3: may read (repeatable)."
        ),
        option("--image-private", is_flag=True, help="Fetch from hosts with private addresses, too."),
        option(
            "--image-memory",
            type=click.IntRange(16, 1 << 20),
            default=200,
            metavar="MB",
            help="Memory for images that are decoded at a time; one that needs more than twice as much is "
            "refused.",
        ),
        option("--s3-endpoint", metavar="URL", help="Endpoint of an S3 store other than Amazon's."),
        option(
            "--on-error",
            type=click.Choice(["reject", "zero"]),
            default="reject",
            help="What to do with an image that cannot be fetched or decoded. reject: reject the request. "
            "zero: return a zero vector.",
        ),
    )(command)
