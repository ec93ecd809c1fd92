"""The ladders of prefixes and exits that an encoder of each kind offers, or why it offers none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nestvec_exporters.options import ExportOptions
from nestvec_schemas.errors import DimNotOffered, EncoderError, ExitNotOffered
from nestvec_schemas.manifest import dim_ladder
from nestvec_schemas.towers import OutputKind

_UNSUPPORTED_REASONS: dict[OutputKind, str] = {
    "sparse": "each of a sparse encoder's dims is a word",
    "multivector": "a multi-vector encoder's vectors are compared token by token, at their full length",
    "reranker": "a reranker returns scores, not vectors",
}


@dataclass(frozen=True)
class Ladders:
    """The prefixes and exits that an encoder offers."""

    dims: tuple[int, ...]
    """Prefixes, longest first."""

    layers: tuple[int, ...]
    """Exits, deepest first."""

    @property
    def shallow(self) -> tuple[int, ...]:
        """All exits but the deepest, shallowest first."""
        return self.layers[:0:-1]


def validated_ladders(kind: OutputKind, dim: int, depth: int, options: ExportOptions) -> Ladders:
    """The ladders for ``options``. Raises DimNotOffered, ExitNotOffered, EncoderError."""
    if kind != "dense":
        _check_nothing_nested(kind, dim, options)
        return Ladders((dim,), (depth,))
    if options.exits and depth < 2:
        raise ExitNotOffered(
            "this kind of encoder has no layers to stop after",
            value=", ".join(map(str, options.exits)),
            next_step="Omit --exits.",
        )
    return Ladders(dim_ladder(dim, options.dims), exit_ladder(options.exits, depth))


def _check_nothing_nested(kind: OutputKind, dim: int, options: ExportOptions) -> None:
    if options.dims is not None and options.dims != (dim,):
        raise DimNotOffered(
            f"there are no prefixes to offer: {_UNSUPPORTED_REASONS[kind]}",
            value=", ".join(map(str, options.dims)),
            next_step="Omit --dims.",
        )
    if options.rotation or options.exits:
        raise EncoderError(
            f"there is nothing to rotate and no exit to fit: {_UNSUPPORTED_REASONS[kind]}",
            value="--rotate" if options.rotation else "--exits",
            next_step="Omit it.",
        )


def exit_ladder(exits: Sequence[int], depth: int) -> tuple[int, ...]:
    """The exits of a checkpoint with ``depth`` layers, deepest first, including ``depth`` itself.

    Raises ExitNotOffered for a deeper one.
    """
    for layer in exits:
        if layer > depth:
            raise ExitNotOffered(
                "the checkpoint has no layer at this depth",
                value=layer,
                next_step=f"It has {depth} layers: choose exits from 1 to {depth}.",
            )
    return tuple(sorted({depth, *exits}, reverse=True))
