"""Workers of an evaluation on Ray, without Ray."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nestvec.bulk.windows import _OpenEncoder
from nestvec.evaluate.variants import RequestedSizes, choose_variants
from nestvec.evaluate.vectors.window_work import WindowWork
from nestvec_schemas.errors import EncoderNotFound, EngineError
from nestvec_schemas.repository import read_manifest


def test_a_worker_whose_encoder_is_not_that_of_the_command_says_so(
    write_encoder: Callable[..., Path],
) -> None:
    folder = write_encoder()
    (variant,) = choose_variants(folder.parent, [folder.name], (), RequestedSizes())
    work = WindowWork("papers", "document", "text", variant, variant.manifest.depth)
    files = read_manifest(folder).files
    assert callable(_OpenEncoder(work, files)(1, "cpu"))
    other = {**files, "1/model.onnx": "0" * 64}
    with pytest.raises(EngineError, match=r"other files of the encoder than the machine") as caught:
        _OpenEncoder(work, other)(1, "cpu")
    assert f"{folder} on" in str(caught.value)
    shutil.rmtree(folder)
    with pytest.raises(EncoderNotFound):
        _OpenEncoder(work, files)(1, "cpu")
