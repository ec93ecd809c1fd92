"""Where the files of a ready graph's checkpoint are: beside the graph, above it, or in a module's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nestvec_exporters.checkpoints.files import CheckpointFiles, default_graph
from nestvec_exporters.checkpoints.layout import first_folder
from nestvec_exporters.graph.ready.modules import Declared, read_declared
from nestvec_schemas.repository import TOKENIZER


@dataclass(frozen=True)
class ReadyFolder:
    """A ready graph's checkpoint."""

    graph: Path

    home: CheckpointFiles
    """The folder with ``modules.json`` and ``config_sentence_transformers.json``, if there are any."""

    transformer: CheckpointFiles
    """The folder with the model's ``config.json`` and ``sentence_bert_config.json``."""

    tokenizer: Path
    """The folder with ``tokenizer.json``."""

    declared: Declared

    @property
    def has_weights(self) -> bool:
        """Whether the weights that the graph was made from are here too."""
        return self.home.has_weights


def find_folder(folder: Path, graph: str | None) -> ReadyFolder:
    """A checkpoint's folder, or that of its graph (``onnx/`` on the hub); ``graph`` is a file in it.

    Raises CheckpointUnsupported for modules that no node replaces, or no graph.
    """
    path = folder / (graph or default_graph(CheckpointFiles(folder)))
    above = folder.parent if (folder.parent / "modules.json").is_file() else None
    home = folder if (folder / "modules.json").is_file() or above is None else above
    places = [first_folder(home), path.parent, home, home.parent if home == folder else home]
    return ReadyFolder(
        graph=path,
        home=CheckpointFiles(home),
        transformer=CheckpointFiles(_first_with("config.json", places)),
        tokenizer=_first_with(TOKENIZER, places),
        declared=read_declared(home),
    )


def _first_with(name: str, places: list[Path]) -> Path:
    return next((place for place in places if (place / name).is_file()), places[0])
