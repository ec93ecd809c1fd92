"""What an export is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from nestvec_exporters.merge_expression import read_expression
from nestvec_exporters.training_data import TrainingData
from nestvec_schemas.errors import (
    CheckpointUnsupported,
    DimNotOffered,
    EncoderError,
    ExitNotOffered,
    TrainingDataUnusable,
    nearest,
)
from nestvec_schemas.manifest import ENCODER_NAME, EXPERT_NAME, Precision, PromptName, RotationMethod
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.towers import Modality

Format = Literal["onnx", "tensorrt"]

_NO_BF16 = " bf16 is left out: ONNX Runtime cannot run it on a CPU, so that nothing could be compared."


@dataclass(frozen=True)
class Overrides:
    """What a checkpoint does not say of itself, or says otherwise.

    ``pooling``: how token vectors become one (sentence-transformers' names, ``lasttoken`` for instance);
    ``tokens``: they stay apart, for late interaction.
    ``bidirectional``: a decoder's attention without its causal mask. ``frames``: pictures to an input.
    ``image_checkpoint``: what reads pictures beside a text checkpoint, in its space: a classifier, or CLIP.
    ``query_prompt`` and ``document_prompt`` are put before each text. ``layout``: how a chat model is shown
    a picture and a text, with the picture's token and ``{text}`` in it.
    """

    pooling: str | None = None
    bidirectional: bool = False
    frames: int = 1
    image_checkpoint: str | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    layout: str | None = None

    @property
    def prompts(self) -> dict[PromptName, str]:
        """The prompts that are given."""
        given: dict[PromptName, str | None] = {"query": self.query_prompt, "document": self.document_prompt}
        return {name: text for name, text in given.items() if text}

    def words(self) -> list[str]:
        """The options of a ``nestvec export`` that ask for the same."""
        named = {
            "--pooling": self.pooling,
            "--image-checkpoint": self.image_checkpoint,
            "--query-prompt": self.query_prompt,
            "--document-prompt": self.document_prompt,
            "--frames": str(self.frames) if self.frames > 1 else None,
        }
        words = [word for name, one in named.items() if one is not None for word in (name, one)]
        return [*words, *(["--bidirectional"] * self.bidirectional)]


BASE: Final = "base"
"""What an expression calls the checkpoint that the export itself names."""


@dataclass(frozen=True)
class Fit:
    """How coefficients are found: by so many steps on batches of ``data``'s rows, drawn by ``seed``.

    Raises TrainingDataUnusable for triplets and scores, which have no part in it.
    """

    data: TrainingData
    steps: int = 100
    batch: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.data.kind == "triplets" or self.data.scores is not None:
            raise TrainingDataUnusable(
                "coefficients are fitted on pairs or texts alone",
                value="scores" if self.data.scores is not None else self.data.kind,
                next_step="Give pairs of a query and a document that answers it, or texts.",
            )


@dataclass(frozen=True)
class Merge:
    """An expression like ``base+0.4*A-0.2*B``, and the checkpoints that its names stand for.

    A name that is none of ``names`` is a folder or a Hugging Face id. With ``fit`` the coefficients are where
    the search for better ones begins. Raises CheckpointUnsupported, with a
    caret below what is wrong in the expression, or for a name that it does not hold.
    """

    expression: str
    names: Mapping[str, str] = field(default_factory=dict)
    fit: Fit | None = None

    def __post_init__(self) -> None:
        asked = read_expression(self.expression)
        held = {asked.base.name, *(one.name for one in asked.terms)}
        for name in self.names:
            if name not in held:
                raise CheckpointUnsupported(
                    f"the expression of the merge does not hold what is called {name}",
                    value=self.expression,
                    next_step=f"Write {name} in it, or leave its checkpoint away.",
                )

    @property
    def base(self) -> str:
        """The checkpoint that differences are added to, as it was given."""
        name = read_expression(self.expression).base.name
        return self.names.get(name, name)

    def words(self) -> tuple[str, ...]:
        """The options of a ``nestvec export`` that merges the same."""
        bound = (word for name, given in self.names.items() for word in ("--with", f"{name}={given}"))
        fitted = () if self.fit is None else ("--fit", self.fit.data.name, "--fit-steps", str(self.fit.steps))
        return ("--merge", self.expression, *bound, *fitted)


@dataclass(frozen=True)
class ExportOptions:
    """What to export, and where to. ``checkpoint`` is a folder or a Hugging Face id; it is empty with
    ``merge``, which says what is exported instead: checkpoints added up.

    ``dims`` is the ladder of prefixes to offer (powers of two where it is None), ``max_tokens`` the
    longest text (the checkpoint's own limit where it is None); ``force`` replaces an encoder of this name.
    ``gpus`` are the devices that Triton runs it on (its own choice where there is none). Format tensorrt
    adds a TensorRT plan, for Triton alone; ``accelerate`` has ONNX Runtime use TensorRT inside Triton.
    ``rotation`` is fitted on ``sample``; ``exits`` are layers before the last to stop after as well, mapped
    into the encoder's space by ``sample`` too. ``seed`` is what is drawn by. ``experts`` are checkpoints by
    name, whose weights a request may choose instead of the checkpoint's own.
    Raises EncoderError, DimNotOffered and ExitNotOffered on values that no checkpoint could have.
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
    rotation: RotationMethod | None = None
    exits: tuple[int, ...] = ()
    sample: Sample | None = None
    seed: int = 0
    overrides: Overrides = Overrides()
    experts: Mapping[str, str] = field(default_factory=dict)
    merge: Merge | None = None

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
        for name in self.experts:
            if not EXPERT_NAME.fullmatch(name) or name in get_args(Modality):
                raise EncoderError(
                    "an expert cannot have this name",
                    value=name,
                    next_step="Use a letter, then letters, digits, '_' and '-'; not text or image.",
                )
        if self.merge is not None and self.checkpoint:
            raise EncoderError(
                "an export is of a checkpoint or of a merge, and here are both",
                value=self.checkpoint,
                next_step="Leave the checkpoint empty, and name it in the merge: Merge('base+0.4*A', "
                "{'base': CHECKPOINT, 'A': OTHER}).",
            )
        self._check_nesting()
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
        if self.rotation is not None and self.sample is not None:
            words += ["--rotate", self.sample.name, "--rotation", self.rotation]
        if self.overrides.image_checkpoint is not None:
            words += ["--image-checkpoint", self.overrides.image_checkpoint]
        if self.merge is not None:
            words += self.merge.words()
        words += [word for one in self.experts.items() for word in ("--expert", "=".join(one))]
        words += self.overrides.words()
        return (*words, *(["--tensorrt"] * self.accelerate), *(["--force"] * self.force))

    def _check_nesting(self) -> None:
        if self.rotation is not None and self.rotation not in get_args(RotationMethod):
            raise EncoderError(
                "there is no such rotation",
                value=self.rotation,
                next_step=f"Choose one of {', '.join(get_args(RotationMethod))}.",
            )
        if (self.rotation or self.exits) and self.sample is None:
            raise EncoderError(
                "a rotation and exits are fitted on a sample of texts, and there is none",
                value=self.rotation or ", ".join(map(str, self.exits)),
                next_step="Give ExportOptions a sample; on the command line, --rotate FILE or --rotate demo.",
            )
        if len(set(self.exits)) < len(self.exits) or any(layer < 1 for layer in self.exits):
            raise ExitNotOffered(
                "these are not different layers",
                value=", ".join(map(str, self.exits)),
                next_step="Give each layer once, from 1: --exits 2,3,4.",
            )

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
        if self.exits and (self.accelerate or self.format == "tensorrt"):
            raise EncoderError(
                "TensorRT builds one depth, and exits are decided by each batch",
                value="--exits " + ",".join(map(str, self.exits)),
                next_step="Leave out --exits, or let ONNX Runtime run it without TensorRT.",
            )
        if self.accelerate and self.format == "tensorrt":
            raise EncoderError(
                "a TensorRT plan needs no acceleration by TensorRT",
                value="--format tensorrt --tensorrt",
                next_step="Keep one of the two.",
            )
