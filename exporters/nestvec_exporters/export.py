"""Checkpoint to encoder, step by step."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from nestvec_exporters.checkpoint import Checkpoint, read_checkpoint
from nestvec_exporters.tensorrt import PLAN, build_plan, check_tensorrt, profiles
from nestvec_exporters.triton import INPUTS, OUTPUT, Format, Serving, config_pbtxt
from nestvec_exporters.workspace import check_target, install, workspace
from nestvec_schemas.errors import DimNotOffered, EncoderError, NestvecError, nearest
from nestvec_schemas.manifest import ENCODER_NAME, Manifest, Precision, Tower, Verification, ladder
from nestvec_schemas.repository import CONFIG, GRAPH, MANIFEST, TOKENIZER, sha256

if TYPE_CHECKING:
    from nestvec_exporters.source import Source

OnStage = Callable[[str], None]

_NEEDED = ("torch", "transformers", "sentence_transformers", "onnx", "onnxruntime")
_NO_BF16 = " bf16 is left out: ONNX Runtime cannot run it on a CPU, so that nothing could be compared."
_RECORDED = ("nestvec", "torch", "transformers", "sentence-transformers", "onnxruntime")


@dataclass(frozen=True)
class ExportOptions:
    """What to export, and where to. ``checkpoint`` is a folder or a Hugging Face id.

    ``dims`` is the ladder of prefixes to offer (powers of two where it is None), ``max_tokens`` the
    longest text (the checkpoint's own limit where it is None); ``force`` replaces an encoder of this name.
    ``gpus`` are the devices that Triton runs it on (its own choice where there is none). Format tensorrt
    adds a TensorRT plan, for Triton alone; ``accelerate`` has ONNX Runtime use TensorRT inside Triton.
    Raises EncoderError and DimNotOffered on values that no checkpoint could have.
    """

    checkpoint: str
    models: Path
    name: str
    precision: Precision = "fp32"
    dims: tuple[int, ...] | None = None
    max_tokens: int | None = None
    force: bool = False
    format: Format = "onnx"
    gpus: tuple[int, ...] = ()
    accelerate: bool = False

    def __post_init__(self) -> None:
        if not ENCODER_NAME.fullmatch(self.name):
            raise EncoderError(
                "an encoder cannot have this name",
                value=self.name,
                next_step="Use letters, digits, '.', '_' and '-', at most 64, a letter or digit first.",
            )
        if self.precision not in get_args(Precision):
            offered = get_args(Precision)
            raise EncoderError(
                "there is no such precision",
                value=self.precision,
                next_step=f"Choose one of {', '.join(offered)}.{nearest(str(self.precision), offered)}"
                f"{_NO_BF16 if str(self.precision) == 'bf16' else ''}",
            )
        if self.max_tokens is not None and self.max_tokens < 1:
            raise EncoderError(
                "an encoder must take at least one token",
                value=self.max_tokens,
                next_step="Give a --max-tokens of 1 or more, or leave it out.",
            )
        for dim in self.dims or ():
            if dim < 1:
                raise DimNotOffered(
                    "no vector has this many dims", value=dim, next_step="Choose dims of 1 or more."
                )
        self._check_triton()

    def words(self) -> tuple[str, ...]:
        """The options of a ``nestvec export`` that does the same, after checkpoint and ``--to``."""
        words = ["--name", self.name, "--precision", self.precision, "--format", self.format]
        if self.dims is not None:
            words += ["--dims", ",".join(map(str, self.dims))]
        if self.max_tokens is not None:
            words += ["--max-tokens", str(self.max_tokens)]
        if self.gpus:
            words += ["--gpus", ",".join(map(str, self.gpus))]
        return (*words, *(["--tensorrt"] * self.accelerate), *(["--force"] * self.force))

    def _check_triton(self) -> None:
        if self.format not in get_args(Format):
            raise EncoderError(
                "there is no such format",
                value=self.format,
                next_step=f"Choose one of {', '.join(get_args(Format))}.",
            )
        if len(set(self.gpus)) < len(self.gpus) or any(gpu < 0 for gpu in self.gpus):
            raise EncoderError(
                "these are not different GPUs",
                value=", ".join(map(str, self.gpus)),
                next_step="Give each device number once, from 0: --gpus 0,1.",
            )
        if self.precision == "int8" and (self.accelerate or self.format == "tensorrt"):
            raise EncoderError(
                "TensorRT cannot run ONNX Runtime's int8 operators",
                value=self.precision,
                next_step="Choose --precision fp16 for TensorRT; int8 is for CPUs.",
            )
        if self.accelerate and self.format == "tensorrt":
            raise EncoderError(
                "a TensorRT plan needs no acceleration by TensorRT",
                value="--format tensorrt --tensorrt",
                next_step="Keep one of the two.",
            )


def export(options: ExportOptions, on_stage: OnStage = lambda stage: None) -> Manifest:
    """Export a checkpoint to ``options.models / options.name`` and return the manifest written there.

    ``on_stage`` hears of each stage as it begins. The encoder appears whole or not at all.
    Raises CheckpointError (not found, unsupported, there already, or too far from its source) and
    DimNotOffered; NestvecError where the packages of the ``export`` extra are missing.
    """
    _check_packages()
    if options.format == "tensorrt":
        check_tensorrt(options.checkpoint, options.models, options.words())
    check_target(options.models, options.name, force=options.force)
    on_stage("reading the checkpoint")
    checkpoint = read_checkpoint(options.checkpoint)
    on_stage("loading libraries")
    from nestvec_exporters.quiet import quiet  # noqa: PLC0415 - seconds of imports

    with quiet(), workspace(options.models) as work:
        manifest = _build(options, checkpoint, work, on_stage)
        install(work / options.name, options.models, force=options.force)
    return manifest


def _check_packages() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise NestvecError(
            "exporting needs packages that are not installed",
            value=", ".join(missing),
            next_step="Install them: pip install 'nestvec[export]'.",
        )


def _build(options: ExportOptions, checkpoint: Checkpoint, work: Path, on_stage: OnStage) -> Manifest:
    """Everything of an encoder, in a folder of its name in ``work``."""
    from nestvec_exporters import source as sources  # noqa: PLC0415 - seconds of imports

    on_stage("loading the weights")
    source = sources.load(checkpoint)
    dims = ladder(source.dim, options.dims)
    tokens = sources.max_tokens(source, options.max_tokens)
    folder = work / options.name
    (folder / GRAPH).parent.mkdir(parents=True)
    sources.tokenizer(source).save(str(folder / TOKENIZER))
    _write_graph(source, options.precision, work, folder / GRAPH, on_stage)
    on_stage("comparing with the checkpoint's vectors")
    verification = _verify(source, folder, options.precision, tokens)
    serving = _serving(options, folder, tokens, on_stage)
    manifest = _manifest(options, checkpoint, source, verification, tokens=tokens, dims=dims, folder=folder)
    config = config_pbtxt(options.name, source.dim, tokens=tokens, serving=serving)
    (folder / CONFIG).write_text(config, "utf-8")
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", "utf-8")
    return manifest


def _serving(options: ExportOptions, folder: Path, tokens: int, on_stage: OnStage) -> Serving:
    """How Triton is to run what is in ``folder``; with format tensorrt, the plan is built there first."""
    fp16 = options.precision == "fp16"
    if options.format == "onnx":
        return Serving(gpus=options.gpus, tensorrt=options.accelerate, fp16=fp16)
    on_stage("building the TensorRT plan")
    shapes = profiles(tokens)
    build_plan(folder / GRAPH, folder / PLAN, shapes)
    return Serving(format="tensorrt", gpus=options.gpus, profiles=len(shapes))


def _write_graph(source: Source, precision: Precision, work: Path, target: Path, on_stage: OnStage) -> None:
    import onnx  # noqa: PLC0415 - seconds of imports

    from nestvec_exporters.graph import save_graph, write_graph  # noqa: PLC0415
    from nestvec_exporters.precision import halve, quantise  # noqa: PLC0415

    on_stage("tracing the graph")
    graph = work / "traced" / "graph.onnx"
    graph.parent.mkdir()
    write_graph(source, graph)
    if precision == "int8":
        on_stage("quantising to int8")
        traced, graph = graph, graph.with_name("int8.onnx")
        quantise(traced, graph, heads=source.heads, hidden=source.hidden)
    if precision == "fp16":
        on_stage("converting to fp16")
        traced, graph = graph, graph.with_name("fp16.onnx")
        halve(traced, graph)
    save_graph(onnx.load(str(graph)), target)


def _verify(source: Source, folder: Path, precision: Precision, tokens: int) -> Verification:
    from nestvec_exporters import verify  # noqa: PLC0415 - seconds of imports

    longest = min(tokens, verify.LONGEST)
    texts = verify.texts()
    expected = verify.source_vectors(source, texts, longest)
    return verify.compare(expected, verify.exported_vectors(folder, texts, longest), precision)


def _manifest(
    options: ExportOptions,
    checkpoint: Checkpoint,
    source: Source,
    verification: Verification,
    *,
    tokens: int,
    dims: tuple[int, ...],
    folder: Path,
) -> Manifest:
    pooling = "+".join(source.pooling)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return Manifest(
        name=options.name,
        source=checkpoint.source,
        towers={"text": Tower(inputs=INPUTS, output=OUTPUT, pooling=pooling, max_tokens=tokens)},
        dim=source.dim,
        dims=dims,
        layers=(source.layers,),
        normalised=source.normalised,
        prompts=source.prompts,
        precision=options.precision,
        verification=verification,
        files={path.relative_to(folder).as_posix(): sha256(path) for path in files},
        created_with={name: version(name) for name in _RECORDED},
    )
