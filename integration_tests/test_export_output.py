"""What a failing ``nestvec export`` writes: its stages and one error, nothing of any library."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import transformers

STAGE = re.compile(r"[a-z' ]+ … \d+\.\d s")

CLASSES = {
    "FNet": (
        {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64},
        "cannot be written as ONNX",
    ),
    "Mamba": ({"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}, "works only for the shapes"),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_a_failing_trace_writes_nothing_but_its_error(kind: str, tmp_path: Path) -> None:
    fields, cause = CLASSES[kind]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    words += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    folder = tmp_path / "checkpoint"
    config = getattr(transformers, f"{kind}Config")(vocab_size=len(words), pad_token_id=0, **fields)
    getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    transformers.BertTokenizer(vocab={word: number for number, word in enumerate(words)}).save_pretrained(
        folder
    )
    command = [
        str(Path(sys.executable).with_name("nestvec")),
        "export",
        str(folder),
        "--to",
        str(tmp_path / "models"),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    *stages, error = run.stderr.splitlines()
    assert (run.returncode, run.stdout) == (1, "")
    assert all(STAGE.fullmatch(line) for line in stages)
    assert re.match(rf"nestvec: the graph of {kind}Model {cause}", error)
