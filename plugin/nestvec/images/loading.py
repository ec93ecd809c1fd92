"""Addresses to images, many at once: each failure is an error in the image's place."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nestvec.images.address import ImageAddress, parse_address
from nestvec.images.decode import decode
from nestvec.images.fetch_errors import refused, too_slow, unreachable
from nestvec.images.local import read_data, read_file
from nestvec.images.policy import ImagePolicy
from nestvec.images.s3 import read_s3
from nestvec.images.web import WebFetcher
from nestvec_schemas.errors import ImageRefused, NestvecError
from nestvec_schemas.preprocessing.collate import Arrays
from nestvec_schemas.preprocessing.patches import Patching, image_patches
from nestvec_schemas.preprocessing.pixels import ImageTransform, image_pixels

T = TypeVar("T")

# Shared by all batches of a process: no more images are decoded in memory than there are cores to work on.
_DECODERS = ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="nestvec-decode")
_READERS = ThreadPoolExecutor(32, thread_name_prefix="nestvec-read")


async def load_images(addresses: Sequence[str], policy: ImagePolicy) -> list[Image.Image | NestvecError]:
    """The image at each address, RGB or RGBA, or the error that says why there is none.

    The errors are ImageRefused, ImageUnreachable and ImageUnreadable; none is raised. A repeated address is
    fetched once. Whole images are large: ``load_pixels`` keeps only what an encoder takes.
    """
    return await _Loader(policy, lambda image: image).run(addresses)


async def load_pixels(
    addresses: Sequence[str], policy: ImagePolicy, preprocessing: ImageTransform
) -> list[NDArray[np.uint8] | NestvecError]:
    """Like ``load_images``, with each image as ``pixels`` returns it: (height, width, 3) uint8."""
    return await _Loader(policy, lambda image: image_pixels(image, preprocessing)).run(addresses)


async def load_patches(
    addresses: Sequence[str], policy: ImagePolicy, patching: Patching
) -> list[Arrays | NestvecError]:
    """Like ``load_images``, with each image as ``image_patches`` returns it."""
    return await _Loader(policy, lambda image: image_patches(image, patching)).run(addresses)


@dataclass(frozen=True)
class _Loader(Generic[T]):
    policy: ImagePolicy
    finish: Callable[[Image.Image], T]

    async def run(self, addresses: Sequence[str]) -> list[T | NestvecError]:
        results: dict[str, T | NestvecError] = {}
        semaphore = asyncio.Semaphore(self.policy.limits.max_concurrent)

        async def load_one(text: str) -> None:
            async with semaphore:
                results[text] = await self._load(text, web)

        async with WebFetcher(self.policy) as web, asyncio.TaskGroup() as group:
            for text in dict.fromkeys(addresses):
                group.create_task(load_one(text))
        return [results[text] for text in addresses]

    async def _load(self, text: str, web: WebFetcher) -> T | NestvecError:
        address = parse_address(text)
        if address is None:
            return ImageRefused(
                "this is not the address of an image",
                value=f"a text of {len(text)} characters",
                next_step="Use a data:, https:, http:, file: or s3: address, with nothing around it.",
            )
        try:
            data = await self._fetch(address, web)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(_DECODERS, self._decode, data, address.shown)
        except NestvecError as error:
            return error
        except Exception as error:  # one image must not fail the others
            problem = unreachable(f"unexpected {type(error).__name__}", address.shown)
            problem.__cause__ = error
            return problem

    async def _fetch(self, address: ImageAddress, web: WebFetcher) -> bytes:
        scheme, policy = address.scheme, self.policy
        if scheme not in policy.schemes:
            raise refused(f"by {scheme}", address.shown, f"{scheme}:")
        if scheme == "data":
            return read_data(address, policy)
        try:
            async with asyncio.timeout(policy.limits.max_seconds):
                if scheme in ("http", "https"):
                    return await web.fetch(address)
                read = read_file if scheme == "file" else read_s3
                return await asyncio.get_running_loop().run_in_executor(_READERS, read, address, policy)
        except TimeoutError as error:
            raise too_slow(policy.limits.max_seconds, address.shown) from error

    def _decode(self, data: bytes, shown: str) -> T:
        return self.finish(decode(data, max_pixels=self.policy.limits.max_pixels, shown=shown))
