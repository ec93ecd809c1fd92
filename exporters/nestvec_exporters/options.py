"""Options of an export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

from nestvec_exporters.merge_expression import parse_expression
from nestvec_exporters.prompt_options import PromptOptions
from nestvec_exporters.source_options import SourceOptions
from nestvec_exporters.training_data import TrainingData
from nestvec_exporters.triton_options import TritonOptions
from nestvec_schemas.errors import (
    CheckpointUnsupported,
    DimNotOffered,
    EncoderError,
    ExitNotOffered,
    TrainingDataUnusable,
    nearest,
)
from nestvec_schemas.manifest import (
    ENCODER_NAME,
    ENCODER_NAME_RULE,
    EXPERT_NAME,
    Precision,
    RotationMethod,
    VerifyLevel,
)
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.towers import Modality

QUANTISED: Final[frozenset[Precision]] = frozenset({"int8", "int8-dynamic", "int8-weights", "int4-weights"})
"""Precisions of less than 16 bits."""

QUANTISING_PACKAGES: Final[Mapping[Precision, tuple[str, ...]]] = {
    "int8": ("nncf",),
    "int8-weights": ("onnx_ir",),
    "int4-weights": ("onnx_ir",),
}
"""Packages that quantising imports besides those of every export."""

_BF16_NOTE = " bf16 is not offered: ONNX Runtime cannot run it on a CPU, so nothing could be verified."


@dataclass(frozen=True)
class Overrides(PromptOptions):
    """What a checkpoint does not say of itself, or says otherwise."""

    pooling: str | None = None
    """How token vectors become one, by sentence-transformers' names (``lasttoken``); ``tokens`` keeps them
    apart, for late interaction."""

    bidirectional: bool = False
    """A decoder's attention without its causal mask."""

    frames: int = 1
    """Images in one input."""

    image_checkpoint: str | None = None
    """What reads images beside a text checkpoint, in its space: a classifier, or CLIP."""

    layout: str | None = None
    """How a chat model is shown an image and a text: with the image's token and ``{text}``."""

    def cli_args(self) -> list[str]:
        """The options of a ``nestvec export`` that ask for the same."""
        named = {
            "--pooling": self.pooling,
            "--image-checkpoint": self.image_checkpoint,
            "--frames": str(self.frames) if self.frames > 1 else None,
        }
        args = [word for name, value in named.items() if value is not None for word in (name, value)]
        return [*args, *self.prompt_args(), *(["--bidirectional"] * self.bidirectional)]


BASE: Final = "base"
"""The name of the export's own checkpoint in an expression."""


@dataclass(frozen=True)
class CoefficientFit:
    """How a merge's coefficients are fitted. Raises TrainingDataUnusable for triplets and scores."""

    data: TrainingData

    steps: int = 100
    """Optimizer steps."""

    batch: int = 32
    """Rows in a step."""

    seed: int = 0
    """Random seed."""

    def __post_init__(self) -> None:
        if self.data.kind == "triplets" or self.data.scores is not None:
            raise TrainingDataUnusable(
                "coefficients are fitted on pairs or texts only",
                value="scores" if self.data.scores is not None else self.data.kind,
                next_step="Give pairs of a query and a document that answers it, or texts.",
            )


@dataclass(frozen=True)
class Merge:
    """Checkpoints to merge.

    Raises CheckpointUnsupported for an invalid expression, with a caret, or for a name that is not in it.
    """

    expression: str
    """Such as ``base+0.4*A-0.2*B``."""

    names: Mapping[str, str] = field(default_factory=dict)
    """Checkpoints by their names in the expression; any other name is a folder or a Hugging Face id."""

    fit: CoefficientFit | None = None
    """Fits the coefficients, starting from those of the expression."""

    def __post_init__(self) -> None:
        expression = parse_expression(self.expression)
        operands = {expression.base.name, *(term.name for term in expression.terms)}
        for name in self.names:
            if name not in operands:
                raise CheckpointUnsupported(
                    f"the merge's expression does not contain {name}",
                    value=self.expression,
                    next_step=f"Add {name} to it, or omit its checkpoint.",
                )

    @property
    def base(self) -> str:
        """The checkpoint that differences are added to, as given."""
        name = parse_expression(self.expression).base.name
        return self.names.get(name, name)

    def cli_args(self) -> tuple[str, ...]:
        """The options of a ``nestvec export`` with the same merge."""
        bound = (
            word for name, checkpoint in self.names.items() for word in ("--with", f"{name}={checkpoint}")
        )
        fitted = () if self.fit is None else ("--fit", self.fit.data.name, "--fit-steps", str(self.fit.steps))
        return ("--merge", self.expression, *bound, *fitted)


@dataclass(frozen=True, kw_only=True)
class NestingOptions:
    """Which prefixes and exits to offer, and what they are fitted on.

    Raises DimNotOffered, ExitNotOffered and EncoderError.
    """

    dims: tuple[int, ...] | None = None
    """The prefixes to offer; None offers powers of two."""

    rotation: RotationMethod | None = None
    """How a rotation is fitted on ``sample``."""

    exits: tuple[int, ...] = ()
    """Layers before the last to stop after as well, mapped into the encoder's space by ``sample``."""

    sample: Sample | None = None

    queries: Sample | None = None
    """Real queries, for a learned rotation; None samples stand-ins for them from ``sample``."""

    seed: int = 0
    """Random seed."""

    def __post_init__(self) -> None:
        for dim in self.dims or ():
            if dim < 1:
                raise DimNotOffered(
                    "no vector has this many dims", value=dim, next_step="Choose dims of 1 or more."
                )
        if self.rotation is not None and self.rotation not in get_args(RotationMethod):
            raise EncoderError(
                "unknown rotation",
                value=self.rotation,
                next_step=f"Choose one of {', '.join(get_args(RotationMethod))}.",
            )
        if (self.rotation or self.exits) and self.sample is None:
            raise EncoderError(
                "a rotation and exits are fitted on a sample of texts, and there is none",
                value=self.rotation or ", ".join(map(str, self.exits)),
                next_step="Give ExportOptions a sample; on the command line, --rotate FILE or --rotate demo.",
            )
        if self.queries is not None and self.rotation != "learned":
            raise EncoderError(
                "only a learned rotation is fitted on queries",
                value=self.queries.name,
                next_step="Add --rotate SAMPLE with --rotation learned, or omit --queries.",
            )
        if len(set(self.exits)) < len(self.exits) or any(layer < 1 for layer in self.exits):
            raise ExitNotOffered(
                "these are not different layers",
                value=", ".join(map(str, self.exits)),
                next_step="Give each layer once, from 1: --exits 2,3,4.",
            )


@dataclass(frozen=True, kw_only=True)
class TrustOptions:
    """How much of the checkpoint is believed without proof. Raises EncoderError."""

    verify: VerifyLevel = "full"
    """``quick`` compares fewer inputs, none of them longer than real texts; the manifest says so."""

    trust_remote_code: bool = False
    """Run the checkpoint's own Python code, for this export alone; the manifest says so."""

    ignore: tuple[str, ...] = ()
    """Declarations, as ``FILE:KEY``, that are known not to matter although nothing here reads them."""

    def __post_init__(self) -> None:
        if self.verify not in get_args(VerifyLevel):
            raise EncoderError(
                "unknown level of verification",
                value=self.verify,
                next_step=f"Choose one of {', '.join(get_args(VerifyLevel))}.",
            )

    def trust_args(self) -> list[str]:
        """The options of a ``nestvec export`` that ask for the same."""
        return [
            *(["--verify", self.verify] if self.verify != "full" else []),
            *(["--trust-remote-code"] * self.trust_remote_code),
            *(word for declaration in self.ignore for word in ("--ignore", declaration)),
        ]


@dataclass(frozen=True, kw_only=True)
class QuantisationOptions:
    """How int8 is made."""

    calibration: Sample | None = None
    """The texts that int8 is calibrated on, and int8 and int4 weights are measured on; None for those of
    ``sample``, or this machine's own."""


@dataclass(frozen=True)
class ExportOptions(QuantisationOptions, NestingOptions, TritonOptions, TrustOptions, SourceOptions):
    """What to export, and where to.

    Raises EncoderError, DimNotOffered and ExitNotOffered on values that no checkpoint could have.
    """

    checkpoint: str
    """A folder or a Hugging Face id; empty with ``merge``."""

    models: Path
    """The model repository."""

    name: str
    """The encoder's name."""

    precision: Precision = "fp32"

    fuse: bool = False
    """Attention and layer norms as single operators, which only ONNX Runtime and OpenVINO read."""

    max_tokens: int | None = None
    """The longest text in tokens; None is the checkpoint's own limit."""

    force: bool = False
    """Replace an encoder of this name."""

    overrides: Overrides = Overrides()

    experts: Mapping[str, str] = field(default_factory=dict)
    """Checkpoints by name, whose weights a request may choose instead of the checkpoint's own."""

    merge: Merge | None = None
    """Checkpoints to merge, in place of ``checkpoint``."""

    def __post_init__(self) -> None:
        self._check_names()
        if self.precision not in get_args(Precision):
            precisions = get_args(Precision)
            raise EncoderError(
                "unknown precision",
                value=self.precision,
                next_step=f"Choose one of {', '.join(precisions)}.{nearest(str(self.precision), precisions)}"
                f"{_BF16_NOTE if str(self.precision) == 'bf16' else ''}",
            )
        if self.max_tokens is not None and self.max_tokens < 1:
            raise EncoderError(
                "an encoder must take at least one token",
                value=self.max_tokens,
                next_step="Give a --max-tokens of 1 or more, or omit it.",
            )
        if self.merge is not None and self.checkpoint:
            raise EncoderError(
                "an export takes either a checkpoint or a merge, not both",
                value=self.checkpoint,
                next_step="Leave the checkpoint empty, and name it in the merge: Merge('base+0.4*A', "
                "{'base': CHECKPOINT, 'A': OTHER}).",
            )
        NestingOptions.__post_init__(self)
        TritonOptions.__post_init__(self)
        TrustOptions.__post_init__(self)
        SourceOptions.__post_init__(self)
        self._check_graph()

    def cli_args(self) -> tuple[str, ...]:
        """The options of a ``nestvec export`` that does the same, after checkpoint and ``--to``."""
        args = ["--name", self.name, "--precision", self.precision, *self.triton_args()]
        if self.dims is not None:
            args += ["--dims", ",".join(map(str, self.dims))]
        if self.max_tokens is not None:
            args += ["--max-tokens", str(self.max_tokens)]
        if self.rotation is not None and self.sample is not None:
            args += ["--rotate", self.sample.name, "--rotation", self.rotation]
        if self.merge is not None:
            args += self.merge.cli_args()
        args += [word for expert in self.experts.items() for word in ("--expert", "=".join(expert))]
        args += [*self.overrides.cli_args(), *self.trust_args(), *self.source_args()]
        return (*args, *(["--fuse"] * self.fuse), *(["--force"] * self.force))

    def _check_names(self) -> None:
        if not ENCODER_NAME.fullmatch(self.name):
            raise EncoderError(
                "an encoder cannot have this name",
                value=self.name,
                next_step=ENCODER_NAME_RULE,
            )
        for name in self.experts:
            if not EXPERT_NAME.fullmatch(name) or name in get_args(Modality):
                raise EncoderError(
                    "an expert cannot have this name",
                    value=name,
                    next_step="Use a letter, then letters, digits, '_' and '-'; not text or image.",
                )

    def _check_graph(self) -> None:
        if self.fuse and self.uses_tensorrt:
            raise EncoderError(
                "TensorRT cannot read the fused operators of ONNX Runtime; it fuses by itself",
                value="--fuse",
                next_step="Omit --fuse.",
            )
        if self.fuse and self.precision in QUANTISED:
            raise EncoderError(
                "fused attention is not quantised; engines fuse an int8 graph as they open it",
                value=f"--fuse --precision {self.precision}",
                next_step="Omit --fuse, or choose --precision fp16 for a GPU.",
            )
        if self.calibration is not None and self.precision not in QUANTISING_PACKAGES:
            raise EncoderError(
                "nothing is calibrated in this precision",
                value=f"{self.precision} with texts of {self.calibration.name}",
                next_step=f"Choose one of {', '.join(QUANTISING_PACKAGES)}, or omit the calibration.",
            )
        if self.precision in QUANTISED and self.uses_tensorrt:
            raise EncoderError(
                "graphs quantised for CPUs do not run in TensorRT",
                value=self.precision,
                next_step="Choose --precision fp16 for TensorRT; int8 is for CPUs.",
            )
        if self.exits and self.uses_tensorrt:
            raise EncoderError(
                "TensorRT builds one depth, and each batch chooses its exit",
                value="--exits " + ",".join(map(str, self.exits)),
                next_step="Omit --exits, or let ONNX Runtime run it without TensorRT.",
            )
