"""Checkpoints rewritten so that classes of transformers read them: adapters merged into their base, and
configurations of published code in transformers' names.

Each row tells by small files whether it applies, and writes a folder; everything after that, the reference
included, reads the folder like any other checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.layout import read_json
from nestvec_exporters.checkpoints.native.adapter_folder import write_with_base
from nestvec_exporters.checkpoints.native.adapters import is_adapter
from nestvec_exporters.checkpoints.native.gte_new import is_gte_new, write_gte_new
from nestvec_exporters.checkpoints.native.jina_v5 import is_jina_v5, write_jina_v5
from nestvec_exporters.checkpoints.native.llama_bidirectional import (
    is_llama_bidirectional,
    write_llama_bidirectional,
)
from nestvec_exporters.checkpoints.untrusted import check_files
from nestvec_exporters.checkpoints.untrusted.custom_code import check_published_code
from nestvec_exporters.options import TrustOptions

__all__ = ["native_checkpoint", "needs_rewriting"]


@dataclass(frozen=True)
class _Rewriting:
    """A form of checkpoint that transformers does not read as it is."""

    applies: Callable[[Path], bool]
    write: Callable[[Path, Path], None]

    publishers: frozenset[str] = frozenset()
    """Who publishes the code that is rewritten, on the hub. Code of the same name in the checkpoint's own
    folder may compute anything."""


_REWRITINGS: Final = (
    _Rewriting(is_adapter, write_with_base),
    _Rewriting(is_gte_new, write_gte_new, frozenset({"Alibaba-NLP", "Snowflake"})),
    _Rewriting(is_jina_v5, write_jina_v5, frozenset({"jinaai"})),
    _Rewriting(is_llama_bidirectional, write_llama_bidirectional, frozenset({"nvidia"})),
)


def needs_rewriting(folder: Path) -> bool:
    """Whether a checkpoint has a form that transformers does not read, told by its small files."""
    return any(rewriting.applies(folder) for rewriting in _REWRITINGS)


def native_checkpoint(
    folder: Path, trust: TrustOptions | None = None, owner: str = ""
) -> TemporaryDirectory[str] | None:
    """A folder with the same checkpoint for classes of transformers; None where it is read as it is.

    It is deleted with the object. ``owner``: whose the checkpoint is on the hub. Raises
    CheckpointUnsupported, also where code in the folder itself stands in for the published code, unless
    ``trust`` ignores it.
    """
    for rewriting in _REWRITINGS:
        if rewriting.applies(folder):
            check_files(folder)
            check_published_code(folder, rewriting.publishers, trust, owner)
            native_folder = TemporaryDirectory(prefix="nestvec-native-")
            rewriting.write(folder, Path(native_folder.name))
            _keep_ignored(folder, Path(native_folder.name), trust)
            return native_folder
    return None


def _keep_ignored(folder: Path, target: Path, trust: TrustOptions | None) -> None:
    """Keep the classes of own code that ``trust`` ignores in the configuration, so that they are recorded."""
    own = CheckpointFiles(folder).config.get("auto_map")
    if own and trust is not None and "config.json:auto_map" in trust.ignore:
        path = target / "config.json"
        path.write_text(json.dumps({**read_json(path), "auto_map": own}, indent=2) + "\n", "utf-8")
