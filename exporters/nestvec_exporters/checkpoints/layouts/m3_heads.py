"""The two heads that lie beside an encoder of the BGE-M3 family: weights of words, and vectors of tokens."""

from __future__ import annotations

from pathlib import Path

from nestvec_exporters.checkpoints.checkpoint import check_safetensors
from nestvec_exporters.checkpoints.kinds import M3_HEADS
from nestvec_exporters.options import ExportOptions
from nestvec_schemas.errors import CheckpointUnsupported


def head_files(folder: Path, options: ExportOptions) -> dict[str, Path]:
    """The heads' files by name; empty if the options ignore those that there are.

    Raises CheckpointUnsupported for a pickle, which can run code when it is loaded, and for one head alone.
    """
    present = {
        name: folder / f"{name}.safetensors"
        for name in M3_HEADS
        if (folder / f"{name}.safetensors").is_file()
    }
    pickles = [f"{name}.pt" for name in M3_HEADS if name not in present and (folder / f"{name}.pt").is_file()]
    ignored = set(options.ignore)
    if all(path.name in ignored for path in present.values()) and ignored.issuperset(pickles):
        return {}
    if pickles:
        raise CheckpointUnsupported(
            "the heads of sparse and of token vectors are pickles, which can run code when they are loaded",
            value=", ".join(pickles),
            next_step=f"Convert each once, if you trust it: {_conversion(Path(pickles[0]).stem)}. Or export "
            f"the dense vectors alone: {' '.join(f'--ignore {name}' for name in pickles)}.",
        )
    missing = [name for name in M3_HEADS if name not in present]
    if missing:
        raise CheckpointUnsupported(
            "the checkpoint has one of two heads, for weights of words and for vectors of tokens",
            value=f"{missing[0]}.safetensors is missing",
            next_step="Add it, or export the dense vectors alone: "
            f"--ignore {next(iter(present.values())).name}.",
        )
    check_safetensors(folder)
    return present


def _conversion(name: str) -> str:
    return (
        'python -c "import torch; from safetensors.torch import save_file; '
        f"save_file(torch.load('{name}.pt', weights_only=True), '{name}.safetensors')\""
    )
