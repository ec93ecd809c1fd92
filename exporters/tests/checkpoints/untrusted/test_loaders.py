"""Every call that loads a checkpoint says whether its code may run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import nestvec_exporters

SOURCES = Path(nestvec_exporters.__file__).parent
LIBRARIES = {"SentenceTransformer", "CrossEncoder", "SparseEncoder", "MultiVectorEncoder"}
CONCRETE = {"PreTrainedTokenizerFast", "PeftConfig", "PeftModel", "original.__func__"}
"""What loads classes of its own, whatever a checkpoint names."""


def loads() -> Iterator[tuple[str, ast.Call]]:
    """Calls of ``from_pretrained``, and of sentence-transformers' classes with a folder."""
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func).rpartition(".")
            by_class = name[2] == "from_pretrained" and name[0].rpartition(".")[2] not in CONCRETE
            if by_class or (name[2] in LIBRARIES and node.args):
                yield f"{path.relative_to(SOURCES)}:{node.lineno}", node


def test_every_loader_passes_trust_remote_code() -> None:
    found = list(loads())
    assert len(found) > 15
    silent = [
        place for place, call in found if "trust_remote_code" not in {item.arg for item in call.keywords}
    ]
    assert not silent


def test_trust_is_the_user_s_or_false() -> None:
    values = {
        ast.unparse(item.value)
        for _, call in loads()
        for item in call.keywords
        if item.arg == "trust_remote_code"
    }
    assert "True" not in values
    assert "False" in values
