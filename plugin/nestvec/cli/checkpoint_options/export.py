"""The arguments of ``nestvec export``, and the options that set them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nestvec.cli.options import MilvusArgs, PromptArgs, integers, name_value_pairs, option, option_group
from nestvec.cli.ray_options import RayPoolArgs

if TYPE_CHECKING:
    from nestvec_exporters.source_options import SourceForm
    from nestvec_exporters.triton_options import GraphFormat, TritonBackend
    from nestvec_schemas.manifest import Precision, RotationMethod, VerifyLevel


@dataclass(frozen=True)
class TargetArgs:
    """Where the encoder is written."""

    to: Path

    name: str | None
    """None: made from the checkpoint's name."""

    force: bool
    json: bool


@dataclass(frozen=True)
class EncoderArgs:
    """What is exported of the checkpoint; None is what the checkpoint declares."""

    precision: Precision
    calibrate: Path | None
    fuse: bool
    dims: tuple[int, ...] | None
    max_tokens: int | None
    pooling: str | None
    bidirectional: bool
    image_checkpoint: str | None
    frames: int
    layout: str | None


@dataclass(frozen=True)
class NestingArgs:
    """What is fitted on a sample of texts."""

    rotate: str | None
    rotation: RotationMethod
    queries: Path | None
    exits: tuple[int, ...] | None
    sample_column: str | None
    sample_size: int
    seed: int

    ray: RayPoolArgs
    """What embeds the sample."""


@dataclass(frozen=True)
class MergeArgs:
    """Other weights for the same encoder: added up, or beside its own."""

    merge: str | None

    names: dict[str, str]
    """The checkpoints that names in ``merge`` stand for."""

    fit: Path | None
    fit_steps: int
    expert: dict[str, str]


@dataclass(frozen=True)
class TritonArgs:
    """What only Triton reads."""

    format: GraphFormat
    gpus: tuple[int, ...] | None
    triton_backend: TritonBackend
    triton_instances: int
    tensorrt: bool


@dataclass(frozen=True)
class TrustArgs:
    """How much of the checkpoint is believed without proof."""

    verify: VerifyLevel
    trust_remote_code: bool

    ignore: tuple[str, ...]
    """Declarations that are known not to matter."""

    explain: bool
    """List what the checkpoint declares, and write nothing."""


@dataclass(frozen=True)
class SourceArgs:
    """What of the checkpoint is read: its weights, or a ready graph."""

    read_from: SourceForm | None
    onnx_file: str | None
    onnx_output: str | None


@dataclass(frozen=True)
class ExportArgs:
    """The command's arguments."""

    checkpoint: str | None
    source: SourceArgs
    target: TargetArgs
    encoder: EncoderArgs
    prompts: PromptArgs
    nesting: NestingArgs
    merging: MergeArgs
    triton: TritonArgs
    trust: TrustArgs
    milvus: MilvusArgs


_CHECKPOINTS = "the checkpoint's"

source_options = option_group(
    "Source",
    option(
        "--from",
        "read_from",
        type=click.Choice(["weights", "onnx"]),
        envvar="NESTVEC_EXPORT_FROM",
        help="onnx: take a ready graph of the checkpoint, which keeps its precision, although it has weights "
        "too; the graph is then compared with them.",
        show_default="its weights if it has safetensors",
    ),
    option(
        "--onnx-file",
        metavar="PATH",
        help="Graph to take of several, within the checkpoint: onnx/model_O2.onnx.",
        show_default="model.onnx",
    ),
    option("--onnx-output", metavar="NAME", help="Output of the graph to take of several."),
)
target_options = option_group(
    "Target",
    option(
        "--to",
        type=click.Path(path_type=Path),
        default=Path("models"),
        help="Model repository: a folder, created if it does not exist.",
    ),
    option("--name", help="Name of the encoder.", show_default="the checkpoint's, in lower case"),
    option("--force", is_flag=True, help="Replace an encoder of this name."),
)
encoder_options = option_group(
    "Encoder",
    option(
        "--precision",
        type=click.Choice(["fp32", "fp16", "int8", "int8-dynamic", "int8-weights", "int4-weights"]),
        default="fp32",
        help="fp16: half the size, for GPUs. int8: a quarter, for CPUs, above all with OpenVINO; calibrated "
        "on texts. int8-dynamic: without calibration, for ONNX Runtime alone. int8-weights and int4-weights: "
        "weights alone, for decoders.",
    ),
    option(
        "--calibrate",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE",
        help="Texts like yours to calibrate int8 on (txt, JSONL, CSV, Parquet).",
        show_default="SAMPLE of --rotate, or this machine's own texts",
    ),
    option(
        "--fuse",
        is_flag=True,
        help="Write attention, layer norms and activations as single operators of ONNX Runtime, for its CUDA "
        "provider. TensorRT cannot read them.",
    ),
    option(
        "--dims",
        callback=integers,
        metavar="DIM,DIM,…",
        help="Lengths of vectors to offer.",
        show_default="powers of two down to 32",
    ),
    option(
        "--max-tokens",
        type=click.IntRange(min=1),
        help="Truncate texts longer than this.",
        show_default=_CHECKPOINTS,
    ),
    option(
        "--pooling",
        metavar="NAME",
        help="How token vectors become one: mean, cls, lasttoken or another. tokens keeps them all, for late "
        "interaction; splade makes weights of words.",
        show_default=_CHECKPOINTS,
    ),
    option("--bidirectional", is_flag=True, help="Run a decoder without its causal mask."),
    option(
        "--image-checkpoint",
        metavar="CLASSIFIER",
        help="An image classifier: texts find images by the names of its classes, without training.",
    ),
    option("--frames", type=click.IntRange(1, 64), default=1, help="Number of images in one input."),
    option(
        "--layout",
        metavar="TEXT",
        help="How a chat model receives an image and a text: the image's token and {text}.",
        show_default="its chat template",
    ),
)
nesting_options = option_group(
    "Short vectors and early exits",
    option(
        "--rotate",
        metavar="SAMPLE",
        help="Improve short vectors: fit a rotation on the encoder's vectors of these texts. SAMPLE is a "
        "file (txt, JSONL, CSV, Parquet), a collection of the Milvus at --uri, or demo (this machine's own "
        "texts).",
    ),
    option(
        "--rotation",
        type=click.Choice(["learned", "pca"]),
        default="learned",
        help="How to fit it. learned keeps more at short dims; pca takes a second.",
    ),
    option(
        "--queries",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Real queries for --rotate: a file as SAMPLE may be, such as a log. Fitted on and measured by "
        "instead of sentences, keywords and other queries that are sampled from SAMPLE.",
    ),
    option(
        "--exits",
        callback=integers,
        metavar="LAYER,LAYER,…",
        help="Layers to stop after as well, for cheaper vectors in the same space; fitted on SAMPLE too.",
    ),
    option("--sample-column", help="Column of SAMPLE that holds the texts.", show_default="the likeliest"),
    option(
        "--sample-size", type=click.IntRange(1, 100_000), default=4000, help="Texts to sample, and queries."
    ),
    option("--seed", type=click.IntRange(min=0), default=0, help="Random seed."),
)
merging_options = option_group(
    "Merging and experts",
    option(
        "--merge",
        metavar="EXPRESSION",
        help="A sum of checkpoints, for example base+0.4*A-0.2*B: differences from the first, each with a "
        "coefficient, or one per layer: base+[0.1,0.2,0.3]*A. CHECKPOINT, if given, is named base.",
    ),
    option(
        "--with",
        "names",
        multiple=True,
        callback=name_value_pairs,
        envvar="NESTVEC_EXPORT_WITH",
        metavar="NAME=CHECKPOINT",
        help="What a name in EXPRESSION stands for (repeatable); any other is a folder or Hugging Face id.",
    ),
    option(
        "--fit",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Find the coefficients of --merge, one per layer, on the pairs (query and document) or texts in "
        "this file, starting from those in EXPRESSION.",
    ),
    option("--fit-steps", type=click.IntRange(1, 10_000), default=100, help="Steps of --fit."),
    option(
        "--expert",
        multiple=True,
        callback=name_value_pairs,
        metavar="NAME=CHECKPOINT",
        help="Another set of weights for the same encoder, fine-tuned for a domain, that a request selects "
        "with expert=NAME (repeatable).",
    ),
)
triton_options = option_group(
    "Triton",
    option(
        "--format",
        type=click.Choice(["onnx", "tensorrt"]),
        default="onnx",
        help="tensorrt: add a TensorRT plan, built where TensorRT is installed.",
    ),
    option(
        "--gpus",
        callback=integers,
        metavar="GPU,GPU,…",
        help="GPUs that Triton runs it on.",
        show_default="all, or the CPU if there is none",
    ),
    option(
        "--triton-backend",
        type=click.Choice(["onnxruntime", "openvino"]),
        default="onnxruntime",
        help="Backend of Triton that runs the graph. openvino: faster on CPUs, if Triton has it.",
    ),
    option(
        "--triton-instances",
        type=click.IntRange(1, 16),
        default=1,
        help="Batches that Triton runs at the same time on each GPU, or on the CPU.",
    ),
    option("--tensorrt", is_flag=True, help="Run it with TensorRT inside Triton's ONNX Runtime."),
)
trust_options = option_group(
    "Verification",
    option(
        "--verify",
        type=click.Choice(["full", "quick"]),
        default="full",
        help="full: compare with the checkpoint's own library on every prompt, all lengths, odd characters "
        "and padded batches. quick: fewer texts, none of them long; the manifest says so.",
    ),
    option(
        "--trust-remote-code",
        is_flag=True,
        # An environment variable would run the code of every later export, too.
        allow_from_autoenv=False,
        help="Run Python code that comes with the checkpoint, for this export alone; read it first. The "
        "manifest says so.",
    ),
    option(
        "--ignore",
        multiple=True,
        envvar="NESTVEC_EXPORT_IGNORE",
        metavar="FILE:KEY",
        help="Export although this declaration of the checkpoint is not honoured (repeatable; FILE alone for "
        "all of a file, * for any characters). The manifest says so.",
    ),
    option(
        "--explain",
        is_flag=True,
        help="List everything that the checkpoint declares and what the export makes of it; write nothing.",
    ),
)
