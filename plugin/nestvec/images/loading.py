"""Addresses to images, many at once: each failure is an error in the image's place."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nestvec.images.address import ImageAddress, address_problem, parse_address
from nestvec.images.decode import OpenedImage, decode_opened, detached, open_image
from nestvec.images.fetch_errors import refused, too_slow, unreachable
from nestvec.images.local import read_data, read_file
from nestvec.images.memory import Caller, ImageMemory, image_memory
from nestvec.images.policy import ImagePolicy
from nestvec.images.s3 import read_s3
from nestvec.images.web import WebFetcher
from nestvec_schemas.errors import ImageRefused, NestvecError
from nestvec_schemas.preprocessing.collate import Arrays
from nestvec_schemas.preprocessing.patches import Patching, image_patches
from nestvec_schemas.preprocessing.pixels import ImageTransform, image_pixels, resizing_bytes

T = TypeVar("T")

_ANYONE: Final = Caller()

_MAX_INLINE_CHARACTERS: Final = 64 << 10
"""Characters of a ``data:`` URI that are decoded without a thread: in a fraction of a millisecond."""

_READERS = ThreadPoolExecutor(32, thread_name_prefix="nestvec-read")


async def load_images(
    addresses: Sequence[str], policy: ImagePolicy, *, caller: Caller = _ANYONE
) -> list[Image.Image | NestvecError]:
    """The image at each address, RGB or RGBA, or the error that says why there is none.

    The errors are ImageRefused, ImageUnreachable and ImageUnreadable; none is raised. A repeated address is
    fetched once. Whole images are large: ``load_pixels`` keeps only what an encoder takes. Raises
    TimeoutError at the caller's deadline.
    """
    return await _Loader(policy, caller, detached, lambda size: 0, 0).run(addresses)


async def load_pixels(
    addresses: Sequence[str],
    policy: ImagePolicy,
    preprocessing: ImageTransform,
    *,
    caller: Caller = _ANYONE,
) -> list[NDArray[np.uint8] | NestvecError]:
    """Like ``load_images``, with each image as ``image_pixels`` returns it: (height, width, 3) uint8."""
    loader = _Loader(
        policy,
        caller,
        partial(image_pixels, transform=preprocessing),
        partial(resizing_bytes, transform=preprocessing),
        3 * preprocessing.height * preprocessing.width,
    )
    return await loader.run(addresses)


async def load_patches(
    addresses: Sequence[str], policy: ImagePolicy, patching: Patching, *, caller: Caller = _ANYONE
) -> list[Arrays | NestvecError]:
    """Like ``load_images``, with each image as ``image_patches`` returns it."""
    most = 3 * patching.most * patching.edge**2
    loader = _Loader(
        policy, caller, lambda image: image_patches(image, patching), lambda size: 4 * most, most
    )
    return await loader.run(addresses)


@dataclass(frozen=True)
class _Loader(Generic[T]):
    policy: ImagePolicy
    caller: Caller
    finish: Callable[[Image.Image], T]
    finishing_bytes: Callable[[tuple[int, int]], int]
    """The memory to finish an image of a size."""
    result_bytes: int
    """The size of a finished image; 0 if the caller answers for it."""

    async def run(self, addresses: Sequence[str]) -> list[T | NestvecError]:
        distinct = list(dict.fromkeys(addresses))
        deadline = None if math.isinf(self.caller.deadline) else self.caller.deadline
        memory = image_memory(self.policy.limits.max_memory)
        async with asyncio.timeout_at(deadline):
            size = self.result_bytes * len(distinct)
            await memory.pixels.acquire(size, self.caller.client)
            results: dict[str, T | NestvecError] = {}
            try:
                await self._load_all(distinct, memory, results)
            finally:
                self._keep_results(memory, size, results)
        return [results[text] for text in addresses]

    async def _load_all(
        self, distinct: Sequence[str], memory: ImageMemory, results: dict[str, T | NestvecError]
    ) -> None:
        semaphore = asyncio.Semaphore(self.policy.limits.max_concurrent)

        async def load_one(text: str) -> None:
            async with semaphore:
                results[text] = await self._load(text, web, memory)

        async with WebFetcher(self.policy) as web, asyncio.TaskGroup() as group:
            for text in distinct:
                group.create_task(load_one(text))

    def _keep_results(self, memory: ImageMemory, size: int, results: dict[str, T | NestvecError]) -> None:
        """Count the memory of the finished images until nothing refers to them, and free the rest."""
        finished = [result for result in results.values() if not isinstance(result, NestvecError)]
        if self.result_bytes:
            for result in finished:
                array = next(iter(result.values())) if isinstance(result, dict) else result
                memory.count_until_gone(array, self.result_bytes)
        memory.pixels.release(size)

    async def _load(self, text: str, web: WebFetcher, memory: ImageMemory) -> T | NestvecError:
        address = parse_address(text)
        if address is None:
            problem = address_problem(text)
            return ImageRefused(
                f"an image's address {problem}" if problem else "this is not the address of an image",
                value=f"a text of {len(text)} characters",
                next_step="Use a data:, https:, http:, file: or s3: address, with nothing around it.",
            )
        limit, client = self.policy.limits.max_bytes, self.caller.client
        most = min(len(text), limit) if address.scheme == "data" else limit
        try:
            async with memory.fetching(most, client) as keep:
                data = await self._fetch(address, web)
                keep(len(data))
                return await self._decode(data, address.shown, memory)
        except NestvecError as error:
            return error
        except Exception as error:  # one image must not fail the others
            unexpected = unreachable(f"unexpected {type(error).__name__}", address.shown)
            unexpected.__cause__ = error
            return unexpected

    async def _decode(self, data: bytes, shown: str, memory: ImageMemory) -> T:
        limits, client = self.policy.limits, self.caller.client
        opened = await memory.headers.run(0, client, lambda: open_image(data, limits, shown))
        size = opened.decoding_bytes + self.finishing_bytes(opened.image.size)
        return await memory.lane(size).run(size, client, lambda: self._finish(opened))

    def _finish(self, opened: OpenedImage) -> T:
        # The pixels are freed here: their memory is given back before anything else refers to the image.
        with closing(opened.image):
            return self.finish(decode_opened(opened, self.policy.limits.max_pixels))

    async def _fetch(self, address: ImageAddress, web: WebFetcher) -> bytes:
        scheme, policy = address.scheme, self.policy
        if scheme not in policy.schemes:
            raise refused(f"by {scheme}", address.shown, f"{scheme}:")
        if scheme == "data":
            if len(address.text) <= _MAX_INLINE_CHARACTERS:
                return read_data(address, policy)
            return await asyncio.get_running_loop().run_in_executor(_READERS, read_data, address, policy)
        try:
            async with asyncio.timeout(policy.limits.max_seconds):
                if scheme in ("http", "https"):
                    return await web.fetch(address)
                read = read_file if scheme == "file" else read_s3
                return await asyncio.get_running_loop().run_in_executor(_READERS, read, address, policy)
        except TimeoutError as error:
            raise too_slow(policy.limits.max_seconds, address.shown) from error
