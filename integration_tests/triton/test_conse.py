"""Texts and pictures in one space without training: the real encoders, on stamps and run by Triton."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nestvec.cli import cli
from nestvec.demo.image_demo import ENCODER
from nestvec.engines.contract import Engine
from nestvec.engines.onnx import OnnxEngine
from nestvec.engines.triton import TritonEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.settings import ServiceSettings
from nestvec_exporters.probes.images import probe_images
from nestvec_schemas.vectors import Vectors, cosines

STAMPS = Path(os.environ.get("NESTVEC_DATA", "../shared/data")).resolve() / "tuxpaint-stamps"


def embedded(models: Path, engine: Engine, inputs: list[str]) -> Vectors:
    async def main() -> Vectors:
        embedder = Embedder(open_encoders(models), engine, ServiceSettings())
        embedder.start()
        try:
            return (await embedder.embed(ENCODER, inputs)).vectors
        finally:
            await embedder.close()

    return asyncio.run(main())


def test_triton_gives_what_the_embedded_engine_gives(conse: Path, triton: Any) -> None:
    inputs = ["a frog", "a printer"]
    for one in probe_images():
        file = io.BytesIO()
        one.save(file, "PNG")
        inputs.append("data:image/png;base64," + base64.b64encode(file.getvalue()).decode())
    folders = {ENCODER: conse / ENCODER}
    triton.start(conse)
    here = embedded(conse, OnnxEngine(folders), inputs)
    there = embedded(conse, TritonEngine(folders, url=triton.url), inputs)
    assert cosines(here, there).min() > 0.9999


def test_text_finds_stamps_that_it_never_saw(conse: Path, tmp_path: Path) -> None:
    if not STAMPS.is_dir():
        pytest.skip(f"{STAMPS} is not there; NESTVEC_DATA names the folder that holds it")
    arguments = [str(STAMPS), "--encoder", ENCODER, "--models", str(conse), "--cache", str(tmp_path)]
    options = ["--dims", "384,128", "--forms", "float", "--languages", "de", "--json", "-"]
    done = CliRunner().invoke(cli, ["evaluate", *arguments, *options], catch_exceptions=False)
    rows = {(row["language"], row["direction"], row["dim"]): row for row in json.loads(done.stdout)}
    english, german = (rows[language, "text→image", 384] for language in (None, "de"))
    assert (english["queries"], german["queries"]) == (498, 496)
    # Measured: 0.209, 0.351 and 0.408; chance is 0.02 at R@10.
    assert english["r@1"] > 0.18
    assert english["r@5"] > 0.32
    assert english["r@10"] > 0.37
    assert german["r@10_high"] < english["r@10_low"]
    assert rows[None, "image→text", 384]["r@10"] > 0.3
    assert rows[None, "text→image", 128]["r@10"] > 0.3
