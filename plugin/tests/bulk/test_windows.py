"""Workers of an evaluation on Ray, without Ray."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

from nestvec.bulk.windows import _WindowWorker
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
    assert _WindowWorker(work, files, 1, "cpu")._opened().manifest.files == files
    other = {**files, "1/model.onnx": "0" * 64}
    result, error = _WindowWorker(work, other, 1, "cpu").encode(["w1"])
    raised = pickle.loads(error)
    assert result is None
    assert isinstance(raised, EngineError)
    assert f"other files of the encoder than the machine of this command: {folder} on" in str(raised)
    worker = _WindowWorker(work, files, 1, "cpu")
    shutil.rmtree(folder)
    assert isinstance(pickle.loads(worker.encode(["w1"])[1]), EncoderNotFound)
