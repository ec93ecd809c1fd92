"""The calculator of the page Capacity, in a real browser, and the simulation beside it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

FORM = {
    "rows": 1_000_000,
    "dims": [64, 384],
    "form": "float",
    "index": "hnsw",
    "m": 16,
    "tokens": 100,
    "textBytes": 1000,
    "rate": 10_000,
    "nodeMemory": 1e9,
    "copies": 2,
    "queries": 100,
    "queryTokens": 20,
    "writes": 120,
}


@pytest.fixture(scope="module")
def calculator() -> Iterator[Any]:
    """The page's form and script, without the site around them."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = os.environ.get("NESTVEC_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    text = (ROOT / "docs" / "capacity.md").read_text()
    form = text[text.index("<form") : text.index("</form>") + len("</form>")]
    with playwright.sync_playwright() as started:
        try:
            browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except playwright.Error:
            pytest.skip("no Chromium: install chromium, or set NESTVEC_CHROMIUM")
        page = browser.new_page()
        page.set_content(form)
        page.add_script_tag(content=(ROOT / "docs" / "assets" / "capacity.js").read_text())
        yield page
        browser.close()


def result(page: Any, **changed: object) -> dict[str, float]:
    values: dict[str, float] = page.evaluate("input => window.nestvecCapacity(input)", FORM | changed)
    return values


def test_sizes_are_those_of_the_formats(calculator: Any) -> None:
    plain = result(calculator, index="flat")
    assert plain["vectors"] == 1_000_000 * (64 + 384) * 4
    assert plain["index"] == plain["vectors"]
    assert plain["storage"] == plain["vectors"] + 1_000_000 * 1000
    assert result(calculator, form="int8", index="flat")["vectors"] == plain["vectors"] / 4
    assert result(calculator, form="binary", index="flat")["vectors"] == plain["vectors"] / 32
    links = result(calculator)["index"] - plain["vectors"]
    # Two fields; 2 M neighbours below and M for each of a sixteenth, a 256th, … of the rows above.
    above = sum(16 / 16**layer for layer in range(1, 20))
    assert links == pytest.approx(2 * 1_000_000 * 4 * (32 + above), rel=1e-6)


def test_time_and_machines(calculator: Any) -> None:
    values = result(calculator, index="flat")
    assert values["hours"] == pytest.approx(1_000_000 * 100 / 10_000 / 3600)
    assert values["nodes"] == 6  # 2 × 1.792 GB ÷ 0.7 GB
    assert values["replicas"] == 2  # 14,000 tokens a second ÷ 7,000
    assert result(calculator, writes=121)["replicas"] == 3
    # Another nested field embeds nothing more.
    assert result(calculator, dims=[64, 128, 384])["hours"] == values["hours"]


def test_the_form_shows_results_and_none_for_nonsense(calculator: Any) -> None:
    shown = calculator.locator("[data-result]")
    assert "–" not in shown.all_inner_texts()
    calculator.fill("[name=rows]", "0")
    assert set(shown.all_inner_texts()) == {"–"}
    calculator.fill("[name=rows]", "1000")
    calculator.fill("[name=dims]", "64, x")
    assert set(shown.all_inner_texts()) == {"–"}
    calculator.fill("[name=dims]", "64, 128")
    calculator.select_option("[name=preset]", "5630")
    assert calculator.input_value("[name=rate]") == "5630"
    assert calculator.inner_text("[data-result=vectors]") == "768 kB"


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    pytest.importorskip("simpy", reason="simpy is not installed")
    spec = importlib.util.spec_from_file_location("capacity", ROOT / "benchmarks" / "capacity.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_lone_insert_takes_what_the_engine_takes(simulation: ModuleType) -> None:
    """One writer whose four functions share each pass: chunk after chunk, with nothing to wait for."""
    load = simulation.Load(1, 0.0, seconds=200.0, writers=1)
    row = simulation.Simulation(load, simulation.DEFAULT, 0.01).run()
    assert row["p50_seconds"] == pytest.approx(5 * (32 * 0.01 + simulation.BATCH_SECONDS), abs=0.01)
    assert (row["failed"], row["tries_per_chunk"]) == (0.0, 1.0)
    assert row["passes_per_text"] == pytest.approx(1.0, abs=0.03)


def test_without_hashing_each_field_is_a_pass(simulation: ModuleType) -> None:
    load = simulation.Load(8, 0.15, seconds=200.0)
    hashing, spread = (
        simulation.Simulation(load, setting, 0.01).run()
        for setting in (simulation.SETTINGS[0], simulation.SETTINGS[2])
    )
    assert hashing["passes_per_text"] == pytest.approx(1.0, abs=0.05)
    assert 2.5 < spread["passes_per_text"] <= 4.1


def test_three_tries_end_within_milvus_s_thirty_seconds(simulation: ModuleType) -> None:
    """An engine too slow for any chunk: each is tried three times, and given up in time."""
    load = simulation.Load(1, 0.0, seconds=400.0, writers=1)
    row = simulation.Simulation(load, simulation.DEFAULT, 5.0).run()
    assert row["tries_per_chunk"] == pytest.approx(3.0, abs=0.3)
    assert row["failed"] == 1.0
