"""The playground in a real browser: what it shows is what the service answers."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from tiny_towers import IMAGE

from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.preprocess.truncation import Overlong
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import AccessSettings, ServiceSettings

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
TEXTS = ["w1 w2 w3", "w4 w5", "<b>w6</b> <img src=x onerror=alert(1)>", "w2 w2 w9 w10"]
QUERY = "w1 w2"
WIDTHS = (420, 1280)


def browser_path() -> str | None:
    """Of NESTVEC_CHROMIUM, or of Debian's packages; None for playwright's own."""
    return os.environ.get("NESTVEC_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        try:
            chromium = started.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(
                f"no Chromium: install chromium, or set NESTVEC_CHROMIUM ({str(error).splitlines()[0]})"
            )
        yield chromium
        chromium.close()


@contextmanager
def served(
    models: Path, engine: FakeEngine, keys: Path | None = None, overlong: Overlong = "truncate"
) -> Iterator[str]:
    settings = replace(ServiceSettings(), access=AccessSettings(api_keys=keys, ui=True), overlong=overlong)
    embedder = Embedder(open_encoders(models), engine, settings)
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as address:
        yield address


@contextmanager
def page_at(browser: Any, address: str, width: int = 1280, scheme: str = "light") -> Iterator[Any]:
    """The page, which must report no error and call nothing but the service."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text) if "Refused" in message.text else None)
    opened.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    opened.on(
        "request",
        lambda request: None if request.url.startswith((address, "data:")) else problems.append(request.url),
    )
    opened.goto(f"{address}/ui")
    yield opened
    context.close()
    assert problems == []


def embed(page: Any, query: str = QUERY, texts: list[str] = TEXTS) -> None:
    page.wait_for_selector("#dims input", state="attached")
    page.fill("#query", query)
    page.fill("#texts", "\n".join(texts))
    page.click("#embed")
    page.wait_for_selector("#heat:not([hidden])")


def column(page: Any, dim: int) -> list[tuple[str, float]]:
    """The texts of one column with their similarities, without the arrows behind those."""
    return [
        (
            row.query_selector(".label").inner_text(),
            float(re.split("[▲▼\\s]", row.query_selector(".score").inner_text())[0]),
        )
        for row in page.query_selector_all(f'[data-dim="{dim}"] li')
    ]


def similarities(address: str, dim: int) -> dict[str, float]:
    """By the service's own nested vectors, with the prompts that the page uses."""
    query, texts = (
        np.array(
            httpx.post(
                f"{address}/embed",
                json={"inputs": inputs, "dimensions": dim, "prompt_name": prompt},
            ).json()
        )
        for inputs, prompt in (([QUERY], "query"), (TEXTS, "document"))
    )
    return dict(zip(TEXTS, (texts @ query[0]).tolist(), strict=True))


def test_neighbours_at_each_length_are_those_of_the_services_vectors(
    browser: Any, models_folder: Path, engine: FakeEngine
) -> None:
    with served(models_folder, engine) as address, page_at(browser, address) as page:
        embed(page)
        for box in page.query_selector_all("#dims input"):
            box.check()
        for dim in (4, 8, 16):
            expected = similarities(address, dim)
            shown = column(page, dim)
            assert dict(shown) == pytest.approx(expected, abs=0.0011)
            scores = [score for _, score in shown]
            assert scores == sorted(scores, reverse=True)
        cells = [cell.inner_text() for cell in page.query_selector_all("#map tbody td")]
        assert len(cells) == 25
        assert {cells[at * 6] for at in range(5)} == {"1.00"}
        first_row = [float(text) for text in cells[1:5]]
        assert first_row == pytest.approx(list(similarities(address, 16).values()), abs=0.011)
        page.select_option("#heat-dim", "4")
        cells = [cell.inner_text() for cell in page.query_selector_all("#map tbody td")]
        assert [float(text) for text in cells[1:5]] == pytest.approx(
            list(similarities(address, 4).values()), abs=0.011
        )


def test_tokens_and_prompts_are_shown(browser: Any, models_folder: Path, engine: FakeEngine) -> None:
    with served(models_folder, engine) as address, page_at(browser, address) as page:
        embed(page)
        tokens = page.query_selector_all("#token-rows .tokens")
        assert [chip.inner_text() for chip in tokens[0].query_selector_all(".token")] == [
            *("[CLS]", "w1", "w2", "[SEP]")
        ]
        assert 'Query: "w1 "' in page.inner_text("#prompt-note")
        rows = page.query_selector_all("#prompt-table tbody tr")
        assert len(rows) == len(TEXTS)
        page.select_option("#prompts", "none")
        page.wait_for_function("() => !document.getElementById('embed').disabled")


@pytest.mark.parametrize(
    ("overlong", "treated"),
    [("truncate", "truncated to {}"), ("mean", "embedded as the mean of chunks of at most {}")],
)
def test_it_says_what_becomes_of_a_long_text(
    browser: Any, models_folder: Path, engine: FakeEngine, overlong: Overlong, treated: str
) -> None:
    with (
        served(models_folder, engine, overlong=overlong) as address,
        page_at(browser, address) as page,
    ):
        (encoder,) = httpx.get(f"{address}/info").json()["encoders"].values()
        maximum = encoder["max_tokens"]
        text = " ".join(["w2"] * (maximum + 5))
        embed(page, texts=["w1", text])
        *_, short, long = [row.inner_text() for row in page.query_selector_all("#token-rows .tokens > p")]
        assert short.endswith("3 tokens")
        assert long.endswith(f"{maximum + 7} tokens, {treated.format(maximum)}")


def test_without_prompts_is_also_without_the_checkpoints_default(
    browser: Any, write_encoder: Callable[..., Path], engine: FakeEngine
) -> None:
    prompts = {"query": "w1 ", "document": "w3 "}
    folder = write_encoder("tiny", prompts=prompts, default_prompt="document")
    with served(folder.parent, engine) as address, page_at(browser, address) as page:
        embed(page)
        bare = httpx.post(f"{address}/embed", json={"inputs": [QUERY, *TEXTS], "prompt_name": ""}).json()
        expected = dict(zip(TEXTS, (np.array(bare[1:]) @ np.array(bare[0])).tolist(), strict=True))
        rows = [
            (row.query_selector("th").inner_text(), row.query_selector_all("td")[1].inner_text())
            for row in page.query_selector_all("#prompt-table tbody tr")
        ]
        shown = {text: float(score.split()[0]) for text, score in rows}
        assert shown == pytest.approx(expected, abs=0.0011)


def test_what_is_typed_stays_text(browser: Any, models_folder: Path, engine: FakeEngine) -> None:
    with served(models_folder, engine) as address, page_at(browser, address) as page:
        embed(page)
        assert page.query_selector("#results b") is None
        assert page.query_selector("#results img") is None
        assert TEXTS[2] in [label.inner_text() for label in page.query_selector_all("#columns .label")]


def test_a_key_is_asked_for_and_kept_in_memory_only(
    browser: Any, models_folder: Path, engine: FakeEngine, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("visitor-key\n")
    keys.chmod(0o600)
    with served(models_folder, engine, keys) as address, page_at(browser, address) as page:
        page.wait_for_selector("#key:visible")
        assert "no API key" in page.inner_text("#message")
        page.fill("#key", "wrong")
        page.press("#key", "Enter")
        page.wait_for_function("() => document.getElementById('message').textContent.includes('not accept')")
        page.fill("#key", "visitor-key")
        page.press("#key", "Enter")
        embed(page)
        stored = "[localStorage.length, sessionStorage.length, document.cookie, location.href]"
        assert page.evaluate(stored) == [0, 0, "", f"{address}/ui"]
        page.reload()
        page.wait_for_selector("#key:visible")
        assert page.input_value("#key") == ""


def test_an_error_of_the_service_is_shown(browser: Any, models_folder: Path, engine: FakeEngine) -> None:
    with served(models_folder, engine) as address, page_at(browser, address) as page:
        embed(page)
        page.fill("#texts", "")
        page.click("#embed")
        assert "at least one text" in page.inner_text("#message")
        page.fill("#texts", "\n".join(["w1"] * 65))
        page.click("#embed")
        assert "at most 64" in page.inner_text("#message")
        engine.failure = RuntimeError("the engine is broken")
        page.fill("#texts", "w77 w78")
        page.click("#embed")
        page.wait_for_function("() => document.getElementById('message').textContent.length > 0")
        assert page.is_enabled("#embed")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_its_text_stands_out(
    browser: Any, models_folder: Path, engine: FakeEngine, width: int, scheme: str
) -> None:
    long = ["w1 " * 60, "w" * 400]
    with served(models_folder, engine) as address, page_at(browser, address, width, scheme) as page:
        embed(page, texts=[*TEXTS, *long])
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 50
        assert min(contrasts) >= 4.5, sorted(contrasts)[:5]


def test_the_keyboard_is_enough(browser: Any, models_folder: Path, engine: FakeEngine) -> None:
    with served(models_folder, engine) as address, page_at(browser, address) as page:
        page.wait_for_selector("#dims input", state="attached")
        reached = []
        for _ in range(12):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
        assert reached[:4] == ["skip", "encoder", "query", "texts"]
        assert "embed" in reached
        page.focus("#texts")
        page.keyboard.press("Control+Enter")
        page.wait_for_selector("#heat:not([hidden])")


def test_images_that_are_dropped_are_embedded(browser: Any, write_encoder: Callable[..., Path]) -> None:
    folder = write_encoder("seer", towers={"image": IMAGE}, layers=(1,), prompts={})
    with served(folder.parent, FakeEngine({"seer": 16})) as address, page_at(browser, address) as page:
        page.wait_for_selector("#dims input", state="attached")
        assert not page.is_visible("#texts")
        files = []
        for number, colour in enumerate(("red", "green", "blue")):
            file = io.BytesIO()
            Image.new("RGB", (40, 40), colour).save(file, "PNG")
            files.append({"name": f"{number}.png", "mimeType": "image/png", "buffer": file.getvalue()})
        page.evaluate(DROP, [list(file["buffer"]) for file in files[:1]])
        page.set_input_files("#files", files[1:])
        page.wait_for_selector("#images li:nth-child(3)")
        page.click("#embed")
        page.wait_for_selector("#heat:not([hidden])")
        assert len(page.query_selector_all("#map tbody td")) == 9
        page.click('button[aria-label="Remove 2.png"]')
        assert len(page.query_selector_all("#images li")) == 2


DROP = """files => {
  const transfer = new DataTransfer();
  for (const bytes of files) {
    transfer.items.add(new File([new Uint8Array(bytes)], "0.png", {type: "image/png"}));
  }
  document.getElementById("drop").dispatchEvent(
    new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
}"""

CONTRASTS = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const over = (top, below) => {
    const alpha = top[3] ?? 1;
    return [0, 1, 2].map((at) => top[at] * alpha + below[at] * (1 - alpha));
  };
  const background = (element) => {
    if (!element) return [255, 255, 255];
    const colour = parse(getComputedStyle(element).backgroundColor);
    const below = background(element.parentElement);
    return colour[3] === 0 ? below : over(colour, below);
  };
  const light = (colour) => {
    const [red, green, blue] = colour.map((value) => value / 255)
      .map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const isShown = walker.currentNode.textContent.trim() && element.checkVisibility();
    if (!isShown || element.closest("option")) continue;
    const below = background(element);
    const [first, second] = [light(over(parse(getComputedStyle(element).color), below)), light(below)];
    found.push((Math.max(first, second) + 0.05) / (Math.min(first, second) + 0.05));
  }
  return found;
}"""
