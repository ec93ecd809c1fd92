from __future__ import annotations

import asyncio
import base64
import io
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import nestvec.images
from nestvec.images import Caller, ImagePolicy, load_images, load_pixels
from nestvec.images.loading import _Loader
from nestvec.images.memory import _memories
from nestvec.images.policy import ImageLimits
from nestvec_schemas.errors import ImageRefused, ImageUnreachable, ImageUnreadable
from nestvec_schemas.preprocessing.pixels import ImageTransform, image_pixels

OPEN = ImagePolicy(schemes=frozenset({"data", "http"}), allow_private=True, limits=ImageLimits(max_seconds=2))


def data_uri(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def kinds(found: list[Any]) -> list[type]:
    return [type(one) for one in found]


def test_the_public_names_are_these() -> None:
    loading = ["load_images", "load_patches", "load_pixels"]
    values = ["ImageAddress", "ImageLimits", "ImagePolicy"]
    assert nestvec.images.__all__ == [
        "Caller",
        *values,
        "address_problem",
        "is_address",
        *loading,
        "parse_address",
    ]


def test_importing_loads_nothing_heavy() -> None:
    program = "import sys, nestvec.images; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"boto3", "botocore", "torch", "PIL.JpegImagePlugin"} & set(done.stdout.split())


def test_each_bad_one_is_an_error_at_its_place(site: Any, png: bytes, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(png)
    policy = ImagePolicy(
        schemes=frozenset({"data", "http", "file"}),
        roots=(tmp_path,),
        allow_private=True,
        limits=ImageLimits(max_seconds=2),
    )
    site.serve("/page.png", b"<!doctype html><title>Not found</title>", Content_Type="image/png")
    site.serve("/cut.png", png[:-40])
    found = asyncio.run(
        load_images(
            [
                f"{site.url}/cat.png",
                "a cat",
                "",
                f"{site.url}/none.png",
                data_uri(png),
                f"{site.url}/page.png",
                f"{site.url}/cut.png",
                f"file://{tmp_path}/cat.png",
                "file:///etc/passwd",
                "s3://pictures/cat.png",
                "https://example.org/cat.png",
                "data:image/png;base64,AAAA",
                "data:image/png;base64,AAAAA",
                "http://169.254.169.254/",
            ],
            policy,
        )
    )
    assert kinds(found) == [
        Image.Image,
        ImageRefused,
        ImageRefused,
        ImageUnreachable,
        Image.Image,
        ImageUnreadable,
        ImageUnreadable,
        Image.Image,
        ImageRefused,
        ImageRefused,
        ImageRefused,
        ImageUnreadable,
        ImageUnreachable,
        ImageRefused,
    ]
    with Image.open(io.BytesIO(png)) as expected:
        for place in (0, 4, 7):
            one = found[place]
            assert isinstance(one, Image.Image)
            assert one.tobytes() == expected.tobytes()


def test_nothing_is_nothing() -> None:
    assert asyncio.run(load_images([], ImagePolicy())) == []


def test_an_address_given_twice_is_fetched_once(site: Any) -> None:
    found = asyncio.run(load_images([f"{site.url}/cat.png"] * 50, OPEN))
    assert kinds(found) == [Image.Image] * 50
    assert len(site.asked) == 1


def test_by_default_nothing_of_this_machine_is_fetched(site: Any, png: bytes) -> None:
    found = asyncio.run(
        load_images(
            [f"{site.url}/cat.png", f"https://127.0.0.1:{site.port}/cat.png", data_uri(png)], ImagePolicy()
        )
    )
    assert kinds(found) == [ImageRefused, ImageRefused, Image.Image]
    assert site.asked == []


def test_pixels_are_those_of_the_image(site: Any, png: bytes) -> None:
    how = ImageTransform(height=5, width=4)
    found = asyncio.run(load_pixels([f"{site.url}/cat.png", "a cat", data_uri(png)], OPEN, how))
    with Image.open(io.BytesIO(png)) as image:
        for place in (0, 2):
            np.testing.assert_array_equal(found[place], image_pixels(image, how))
    assert isinstance(found[1], ImageRefused)


def test_a_size_that_the_encoder_does_not_take_is_an_error_of_the_row(png: bytes) -> None:
    how = ImageTransform(height=5, width=4, resize="none")
    [found] = asyncio.run(load_pixels([data_uri(png)], OPEN, how))
    assert isinstance(found, ImageUnreadable)


def test_a_slow_one_does_not_hold_up_the_others(site: Any, png: bytes) -> None:
    over = threading.Event()

    def silent(request: Any) -> None:
        over.wait(30)
        request.close_connection = True

    def dripping(request: Any) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100000")
        request.end_headers()
        while not over.wait(0.02):
            request.wfile.write(b"x")

    site.answers |= {"/silent": silent, "/dripping": dripping}
    limits = ImageLimits(max_seconds=2.5)  # enough for the image in between on a busy machine
    quick = ImagePolicy(schemes=frozenset({"http"}), allow_private=True, limits=limits)
    texts = [f"{site.url}/silent", f"{site.url}/cat.png", f"{site.url}/dripping"]
    try:
        found = asyncio.run(load_images(texts, quick))
    finally:
        over.set()
    assert kinds(found) == [ImageUnreachable, Image.Image, ImageUnreachable]
    for place in (0, 2):
        assert "in time" in str(found[place]) or "within 2.5 seconds" in str(found[place])


def test_only_so_many_are_fetched_at_once(site: Any, png: bytes) -> None:
    running = most = 0
    lock = threading.Lock()

    def counted(request: Any) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        request.send_response(200)
        request.send_header("Content-Length", str(len(png)))
        request.end_headers()
        request.wfile.write(png)

    site.answers["/cat.png"] = counted
    policy = ImagePolicy(
        schemes=frozenset({"http"}), allow_private=True, limits=ImageLimits(max_concurrent=3)
    )
    found = asyncio.run(load_images([f"{site.url}/cat.png?{number}" for number in range(20)], policy))
    assert kinds(found) == [Image.Image] * 20
    assert 1 < most <= 3


def test_a_batch_that_is_given_up_lets_go(site: Any) -> None:
    over = threading.Event()
    site.answers["/silent"] = lambda _: over.wait(30)

    async def run() -> None:
        await asyncio.wait_for(load_images([f"{site.url}/silent"] * 3, OPEN), 0.2)

    try:
        with pytest.raises(TimeoutError):
            asyncio.run(run())
    finally:
        over.set()


def test_what_nobody_foresaw_is_an_error_of_the_row(png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> bytes:
        raise RuntimeError("a secret")

    monkeypatch.setattr("nestvec.images.loading.read_data", broken)
    [found] = asyncio.run(load_images([data_uri(png)], ImagePolicy()))
    assert isinstance(found, ImageUnreachable)
    assert "RuntimeError" in str(found) and "secret" not in str(found)
    assert isinstance(found.__cause__, RuntimeError)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30) | st.binary(max_size=60).map(data_uri), max_size=8))
def test_no_batch_fails(texts: list[str]) -> None:
    found = asyncio.run(load_images(texts, ImagePolicy(hosts=("nothing.invalid",))))
    assert len(found) == len(texts)
    assert all(isinstance(one, ImageRefused | ImageUnreachable | ImageUnreadable) for one in found)


def test_no_error_tells_a_secret(site: Any) -> None:
    secret = "SECRET" * 10
    texts = [
        f"data:image/png;base64,{secret}",
        f"data:image/png,{secret}",
        f"{site.url}/none.png?X-Amz-Signature={secret}",
        f"http://user:{secret}@127.0.0.1:{site.port}/cat.png",
        f"https://example.org/cat.png?{secret}",
        f"s3://pictures/cat.png?{secret}",
        f"file:///srv/cat.png?{secret}",
        f"a cat {secret}",
    ]
    for error in asyncio.run(load_images(texts, OPEN)):
        assert isinstance(error, ImageRefused | ImageUnreachable | ImageUnreadable)
        assert secret not in str(error) and len(str(error)) < 600


def test_loading_ends_at_the_callers_deadline(site: Any, png: bytes) -> None:
    over = threading.Event()
    site.answers["/silent"] = lambda _: over.wait(60)

    async def load() -> None:
        deadline = asyncio.get_running_loop().time() + 0.1
        patient = ImagePolicy(schemes=frozenset({"http"}), allow_private=True)
        await load_images([f"{site.url}/silent"], patient, caller=Caller("a", deadline))

    try:
        with pytest.raises(TimeoutError):
            asyncio.run(load())
    finally:
        over.set()


def test_the_memory_of_a_batch_is_given_back(site: Any, png: bytes) -> None:
    how = ImageTransform(height=5, width=4)
    limits = ImageLimits(max_seconds=2, max_memory=1 << 20)
    policy = ImagePolicy(schemes=frozenset({"data", "http"}), allow_private=True, limits=limits)
    huge = io.BytesIO()
    Image.new("RGB", (900, 900)).save(huge, "PNG")

    async def load() -> list[Any]:
        texts = [f"{site.url}/cat.png", "a cat", f"{site.url}/none.png", data_uri(huge.getvalue())]
        found = await load_pixels(texts, policy, how)
        (memory,) = _memories[asyncio.get_running_loop()].values()
        budgets = (memory.headers.budget, memory.small.budget, memory.large.budget, memory.fetched)
        while any(budget.holders for budget in budgets):
            await asyncio.sleep(0.01)
        assert not any(budget.taken for budget in budgets)
        assert memory.pixels.taken == 5 * 4 * 3
        return found

    found = asyncio.run(load())
    assert kinds(found) == [np.ndarray, ImageRefused, ImageUnreachable, ImageUnreadable]
    assert "more memory" in str(found[3])


def test_many_large_images_are_decoded_within_the_memory(png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    finish = _Loader._finish

    def watched(self: Any, opened: Any) -> Any:
        (memory,) = _memories[next(iter(_memories))].values()
        taken.append(memory.large.budget.taken)
        return finish(self, opened)

    monkeypatch.setattr(_Loader, "_finish", watched)
    policy = ImagePolicy(limits=ImageLimits(max_memory=1 << 20))
    images = []
    for number in range(12):
        buffer = io.BytesIO()
        Image.new("RGB", (300 + number, 400)).save(buffer, "PNG")
        images.append(data_uri(buffer.getvalue()))
    _memories.clear()
    found = asyncio.run(load_pixels(images, policy, ImageTransform(height=5, width=4)))
    assert kinds(found) == [np.ndarray] * 12
    assert len(taken) == 12 and 480_000 < max(taken) <= 1 << 20
