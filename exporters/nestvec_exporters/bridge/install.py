"""Fold a bridge into an exported encoder: its graph, its manifest and Triton's configuration of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from google.protobuf import text_format

from nestvec_exporters.bridge.heads import Head, read_heads, set_heads
from nestvec_exporters.encoder_manifest import external_files, write_manifest
from nestvec_exporters.graph.save import save_graph
from nestvec_exporters.space_maps.mapping import BridgeMaps, TokenTable, linear
from nestvec_exporters.workspace import install, workspace
from nestvec_schemas.bridges.bridge import Bridge, Bridges
from nestvec_schemas.bridges.view import graph_dim
from nestvec_schemas.errors import CheckpointError, NotOffered
from nestvec_schemas.fingerprint import encoder_fingerprint
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import CONFIG, GRAPH, MANIFEST, PART_SEPARATOR, read_manifest, sha256
from nestvec_schemas.towers import EXIT_INPUT, Modality

_QUERY_HEAD: Final = "/query"
"""The end of the name of a head of queries; no encoder's name has it."""


def check_bridgeable(manifest: Manifest, folder: Path, *, as_new: bool, modality: Modality = "text") -> None:
    """Raise NotOffered for an encoder that a bridge cannot be fitted on; with ``as_new``, folded into.

    ``modality`` is what it must embed.
    """
    problem = ""
    if manifest.kind != "dense" or modality not in manifest.towers:
        problem = f"is a {manifest.kind} encoder of {' and '.join(manifest.towers)}"
    elif as_new and (manifest.outputs or manifest.experts):
        problem = "has experts or several outputs"
    elif as_new and not (folder / GRAPH).is_file():
        problem = f"has no {GRAPH}, which a bridge is folded into"
    if problem:
        raise NotOffered(
            f"{manifest.name} {problem}",
            value=str(folder),
            next_step="Bridges are between encoders of texts that give one vector for each"
            + (", exported to ONNX without experts." if as_new else ".")
            + " From an encoder of texts to one of images: nestvec bridge IMAGE TEXT --pairs captions.jsonl.",
        )


def next_exit(manifest: Manifest, name: str) -> int:
    """The exit of a bridge of this name: its present one, or the first that is free."""
    maps = {} if manifest.bridges is None else manifest.bridges.maps
    return maps[name].exit if name in maps else _highest_exit(manifest) + 1


def next_query_exit(manifest: Manifest, name: str) -> int:
    """The exit of the queries of a bridge of this name: its present one, or the first that is free beside
    ``next_exit``."""
    maps = {} if manifest.bridges is None else manifest.bridges.maps
    present = maps[name].query_exit if name in maps else None
    return present or max(_highest_exit(manifest), next_exit(manifest, name)) + 1


def _highest_exit(manifest: Manifest) -> int:
    maps = {} if manifest.bridges is None else manifest.bridges.maps
    return max([manifest.depth, *(exit for bridge in maps.values() for exit in bridge.exits)])


def install_bridge(
    folder: Path,
    name: str,
    bridge: Bridge,
    maps: BridgeMaps,
    check: Callable[[Path], None] = lambda built: None,
) -> Manifest:
    """Fold a bridge into the encoder in ``folder``, in place of one of its name, and return the new manifest.

    ``bridge`` has a ``query_exit`` if ``maps`` have one of queries.
    The encoder is built beside the repository and replaced at once, after ``check`` has accepted the new
    folder; its own vectors and its fingerprint stay what they were. Raises CheckpointError if it cannot be
    written, and what ``check`` raises.
    """
    if (bridge.query_exit is None) != (maps.own_queries is None):
        raise ValueError("a bridge has an exit of queries if it has a map of them, and only then")
    models = folder.parent
    with workspace(models) as work:
        built = _copy_encoder(folder, work)
        manifest = _fold(built, name, bridge, maps)
        check(built)
        install(built, models, force=True)
    return manifest


@contextmanager
def map_inputs_encoder(folder: Path, name: str, tokens: TokenTable) -> Iterator[Path]:
    """A copy of the encoder in ``folder``, gone after the block, whose bridge ``name`` gives what its maps
    may read: the encoder's vector and the sum of tokens, the whole of length 1."""
    manifest = read_manifest(folder)
    width = manifest.dim + tokens.shape[1]
    bridge = Bridge(
        fingerprint="none",
        mapped_from=encoder_fingerprint(manifest),
        exit=next_exit(manifest, name),
        dim=width,
        dims=(width,),
        method="none",
        sample="none",
        texts=1,
        compared={},
    )
    with workspace(folder.parent) as work:
        copy = _copy_encoder(folder, work)
        _fold(copy, name, bridge, BridgeMaps(linear(np.eye(width)), tokens=tokens))
        yield copy


def _copy_encoder(folder: Path, work: Path) -> Path:
    """A copy of an encoder and its parts."""
    for source in [folder, *sorted(folder.parent.glob(f"{folder.name}{PART_SEPARATOR}*"))]:
        shutil.copytree(source, work / source.name, copy_function=_link)
    return work / folder.name


def _link(source: str, target: str) -> None:
    """A hard link where the file system has them: most files stay as they are."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _fold(built: Path, name: str, bridge: Bridge, maps: BridgeMaps) -> Manifest:
    manifest = read_manifest(built)
    _check_unchanged(manifest, name, bridge)
    before = manifest.bridges
    has_own_exits = before.has_own_exits if before is not None else EXIT_INPUT in manifest.main_tower.inputs
    path = built / GRAPH
    graph_files = {item.relative_to(built).as_posix() for item in (path, *external_files(path))}
    original = (
        before.unbridged_files
        if before is not None
        else {item: manifest.files[item] for item in sorted(graph_files & manifest.files.keys())}
    )
    model = onnx.load(str(path))
    own = (name, f"{name}{_QUERY_HEAD}")
    heads = {key: head for key, head in read_heads(model).items() if key not in own}
    heads[own[0]] = Head(bridge.exit, maps.documents, maps.tokens)
    if maps.own_queries is not None and bridge.query_exit is not None:  # both, or neither
        heads[own[1]] = Head(bridge.query_exit, maps.own_queries)
    set_heads(
        model,
        heads,
        own_dim=manifest.dim,
        has_own_exits=has_own_exits,
        normalised=manifest.normalised,
    )
    for item in graph_files:  # a link to the present graph, which must not be written through
        (built / item).unlink()
    save_graph(model, path)
    bridges = {**({} if before is None else before.maps), name: bridge}
    changed = _with_bridges(
        manifest, Bridges(maps=bridges, unbridged_files=original, has_own_exits=has_own_exits), built
    )
    (built / MANIFEST).unlink()
    write_manifest(built, changed)
    _write_config(built / CONFIG, changed)
    return changed


def _check_unchanged(manifest: Manifest, name: str, bridge: Bridge) -> None:
    """Raise CheckpointError if the map is of another encoder, or its exit is another bridge's by now."""
    exits = (next_exit(manifest, name), next_query_exit(manifest, name))
    if encoder_fingerprint(manifest) != bridge.mapped_from or bridge.exits not in (exits, exits[:1]):
        raise CheckpointError(
            f"{manifest.name} was exported again, or received another bridge, while this one was fitted",
            value=name,
            next_step="Repeat the command.",
        )


def _with_bridges(manifest: Manifest, bridges: Bridges, built: Path) -> Manifest:
    checksums = {
        item.relative_to(built).as_posix(): sha256(item)
        for item in ((built / GRAPH), *external_files(built / GRAPH))
    }
    files = {name: value for name, value in manifest.files.items() if name not in bridges.unbridged_files}
    towers = {
        name: tower
        if EXIT_INPUT in tower.inputs
        else tower.model_copy(update={"inputs": (*tower.inputs, EXIT_INPUT)})
        for name, tower in manifest.towers.items()
        if name == "text"
    }
    return manifest.model_copy(
        update={
            "bridges": bridges,
            "files": dict(sorted({**files, **checksums}.items())),
            "towers": {**manifest.towers, **towers},
        }
    )


def _write_config(path: Path, manifest: Manifest) -> None:
    """Declare the input EXIT_INPUT and the length of the output; all else stays, as an operator tuned it."""
    # Importing it imports grpc, which takes a second.
    from tritonclient.grpc.model_config_pb2 import TYPE_INT64, ModelConfig, ModelWarmup  # noqa: PLC0415

    if not path.is_file():
        return
    config = text_format.Parse(path.read_text("utf-8"), ModelConfig())
    has_batch_axis = config.max_batch_size == 0
    if all(item.name != EXIT_INPUT for item in config.input):
        axes = [-1, 1] if has_batch_axis else [1]
        config.input.add(name=EXIT_INPUT, data_type=TYPE_INT64, dims=axes)
        for warmup in config.model_warmup:
            rows = [next(iter(warmup.inputs.values())).dims[0]] if has_batch_axis else []
            tensor = ModelWarmup.Input(data_type=TYPE_INT64, dims=[*rows, 1], zero_data=True)
            warmup.inputs[EXIT_INPUT].CopyFrom(tensor)
    for output in config.output:
        output.dims[-1] = graph_dim(manifest)
    path.unlink()
    path.write_text(text_format.MessageToString(config), "utf-8")
