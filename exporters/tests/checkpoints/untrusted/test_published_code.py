"""Code that a publisher keeps on the hub, and code of the same name elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nestvec_exporters.checkpoints.untrusted.custom_code import check_published_code
from nestvec_exporters.options import TrustOptions
from nestvec_schemas.errors import CheckpointUnsupported

PUBLISHERS = frozenset({"nvidia"})


def write(folder: Path, reference: str) -> Path:
    (folder / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": reference}}))
    return folder


@pytest.mark.parametrize(
    ("reference", "owner"),
    [
        ("nvidia/llama-embed--modeling.Model", ""),
        ("modeling.Model", "nvidia/llama-embed"),
        ("nvidia/llama-embed--modeling.Model", "someone/copy"),
    ],
)
def test_the_publishers_code_is_known(reference: str, owner: str, tmp_path: Path) -> None:
    check_published_code(write(tmp_path, reference), PUBLISHERS, None, owner)


@pytest.mark.parametrize(
    ("reference", "owner"),
    [
        ("modeling.Model", ""),
        ("modeling.Model", "someone/copy"),
        ("someone/code--modeling.Model", "nvidia/llama-embed"),
        ("nvidiaa/llama-embed--modeling.Model", ""),
    ],
)
def test_code_of_the_same_name_elsewhere_is_refused(reference: str, owner: str, tmp_path: Path) -> None:
    folder = write(tmp_path, reference)
    with pytest.raises(CheckpointUnsupported, match="own code"):
        check_published_code(folder, PUBLISHERS, None, owner)
    check_published_code(folder, PUBLISHERS, TrustOptions(ignore=("config.json:auto_map",)), owner)
