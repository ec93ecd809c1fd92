from __future__ import annotations

import base64
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nestvec.images import ImageAddress, ImagePolicy, parse_address
from nestvec.images.local import read_data, read_file
from nestvec.images.policy import ImageLimits
from nestvec_schemas.errors import ImageRefused, ImageUnreachable


def address(text: str) -> ImageAddress:
    found = parse_address(text)
    assert found is not None
    return found


@given(st.binary(min_size=1, max_size=200))
def test_what_is_written_into_an_address_comes_out_of_it(data: bytes) -> None:
    plain = base64.b64encode(data).decode()
    for text in (
        f"data:image/png;base64,{plain}",
        f"data:image/png;base64,{plain.rstrip('=')}",
        f"data:image/png;base64,{quote(plain, safe='')}",
        f"data:image/png;name=a;base64,{plain}",
        f"DATA:;BASE64,{plain}",
        f"data:image/png,{quote(data, safe='')}",
    ):
        assert read_data(address(text), ImagePolicy()) == data


@settings(deadline=None)
@given(data=st.binary(max_size=60), damage=st.text("A=%3d !", max_size=3), place=st.integers(0, 80))
def test_steps_give_what_one_call_gives(data: bytes, damage: str, place: int) -> None:
    text = quote(base64.b64encode(data).decode(), safe="/+")
    text = f"data:image/png;base64,A{text[:place]}{damage}{text[place:]}".replace(" ", "%20")

    def read(step: int) -> bytes | None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("nestvec.images.local._STEP", step)
            try:
                return read_data(address(text), ImagePolicy())
            except ImageUnreachable:
                return None

    assert {step: read(step) for step in (4, 5, 7, 16)} == dict.fromkeys((4, 5, 7, 16), read(1 << 20))


@pytest.mark.parametrize("payload", ["AAAAA", "AA-_", "AA!A", "====", "A\udcff"])
def test_what_is_no_base64(payload: str) -> None:
    if payload == "====":
        assert read_data(address(f"data:image/png;base64,{payload}"), ImagePolicy()) == b""
        return
    with pytest.raises(ImageUnreachable, match="not valid base64") as caught:
        read_data(address(f"data:image/png;base64,{payload}"), ImagePolicy())
    assert payload not in str(caught.value)


@pytest.mark.parametrize("size", [31, 1000])
def test_an_image_in_an_address_may_be_too_large(size: int) -> None:
    policy = ImagePolicy(limits=ImageLimits(max_bytes=30))
    text = "data:image/png;base64,"
    assert len(read_data(address(text + base64.b64encode(bytes(30)).decode()), policy)) == 30
    with pytest.raises(ImageUnreachable, match="more than 30 bytes"):
        read_data(address(text + base64.b64encode(bytes(size)).decode()), policy)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A root with ``cat.png`` and ``a b#?.png``, beside it a folder with ``secret``."""
    root = tmp_path / "pictures"
    root.mkdir()
    (root / "cat.png").write_bytes(b"cat")
    (root / "a b#?.png").write_bytes(b"odd")
    (tmp_path / "pictures-of-others").mkdir()
    (tmp_path / "pictures-of-others" / "secret").write_bytes(b"secret")
    return root


def policy(*roots: Path, max_bytes: int = 100) -> ImagePolicy:
    return ImagePolicy(schemes=frozenset({"file"}), roots=roots, limits=ImageLimits(max_bytes=max_bytes))


def test_a_file_in_a_root(folder: Path, tmp_path: Path) -> None:
    for text in (f"file://{folder}/cat.png", f"file:{folder}/cat.png", f"FILE://localhost{folder}/./cat.png"):
        assert read_file(address(text), policy(folder)) == b"cat"
    assert read_file(address(f"file://{folder}/a%20b%23%3F.png"), policy(folder)) == b"odd"
    assert read_file(address(f"file://{folder}/cat.png"), policy(tmp_path / "other", folder)) == b"cat"


def test_links_are_resolved(folder: Path, tmp_path: Path) -> None:
    (folder / "inside.png").symlink_to(folder / "cat.png")
    (tmp_path / "link").symlink_to(folder)
    for text in (f"file://{folder}/inside.png", f"file://{tmp_path}/link/cat.png"):
        assert read_file(address(text), policy(folder)) == b"cat"
        assert read_file(address(text), policy(tmp_path / "link")) == b"cat"


def test_nothing_outside_of_the_roots_is_read(folder: Path, tmp_path: Path) -> None:
    (folder / "link").symlink_to(tmp_path / "pictures-of-others")
    (folder / "secret.png").symlink_to(tmp_path / "pictures-of-others" / "secret")
    (folder / "absolute.png").symlink_to("/etc/passwd")
    for path in (
        f"{tmp_path}/pictures-of-others/secret",
        f"{folder}/../pictures-of-others/secret",
        f"{folder}/%2e%2e/pictures-of-others/secret",
        f"{folder}/link/secret",
        f"{folder}/secret.png",
        f"{folder}/absolute.png",
        f"{folder}-of-others/secret",
        f"{tmp_path}/no-such-file",
        "/etc/passwd",
        "/proc/self/environ",
    ):
        with pytest.raises(ImageRefused, match="from this folder"):
            read_file(address(f"file://{path}"), policy(folder))


def test_without_roots_nothing_is_read(folder: Path) -> None:
    with pytest.raises(ImageRefused):
        read_file(address(f"file://{folder}/cat.png"), ImagePolicy())


@pytest.mark.parametrize(
    "text", ["file://elsewhere{}/cat.png", "file://{}/cat.png?a", "file://{}/cat.png#a", "file://{}/a%00.png"]
)
def test_addresses_of_files_with_more_to_them(text: str, folder: Path) -> None:
    with pytest.raises(ImageRefused, match=r"names a host|more than a path"):
        read_file(address(text.format(folder)), policy(folder))


@pytest.mark.parametrize("name", ["%FF.png", "\ud800.png"])
def test_names_that_are_none(name: str, folder: Path) -> None:
    with pytest.raises(ImageRefused, match="not a file URI"):
        read_file(address(f"file://{folder}/{name}"), policy(folder))


def test_what_is_not_a_file(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    (folder / "loop.png").symlink_to(folder / "loop.png")
    for name in ("pipe.png", "folder.png", "loop.png", "none.png", "cat.png/x.png", "a" * 300):
        with pytest.raises(ImageUnreachable):
            read_file(address(f"file://{folder}/{name}"), policy(folder))


def test_a_file_that_is_too_large(folder: Path) -> None:
    (folder / "large.png").write_bytes(bytes(101))
    with pytest.raises(ImageUnreachable, match="more than 100 bytes"):
        read_file(address(f"file://{folder}/large.png"), policy(folder))


parts_of_paths = st.lists(
    st.sampled_from(
        [
            "..",
            ".",
            "",
            "%2e%2e",
            "%2F",
            "%2e%2e%2f",
            "cat.png",
            "link",
            "pictures",
            "pictures-of-others",
            "secret",
        ]
    ),
    max_size=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts_of_paths)
def test_no_path_escapes(folder: Path, parts: list[str]) -> None:
    link = folder / "link"
    if not link.is_symlink():
        link.symlink_to(folder.parent / "pictures-of-others")
    text = f"file://{folder}/" + "/".join(parts)
    if parse_address(text) is None:
        return
    try:
        assert read_file(address(text), policy(folder)) == b"cat"
    except (ImageRefused, ImageUnreachable):
        return
