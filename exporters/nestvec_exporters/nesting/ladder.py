"""What an encoder of each kind can offer: prefixes, exits, a rotation; and why it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nestvec_exporters.options import ExportOptions
from nestvec_schemas.errors import DimNotOffered, EncoderError, ExitNotOffered
from nestvec_schemas.manifest import dim_ladder
from nestvec_schemas.towers import Kind

_UNSUPPORTED_REASONS: dict[Kind, str] = {
    "sparse": "each of a sparse encoder's dims is a word",
    "multivector": "a multi-vector encoder's vectors are compared token by token, at their full length",
    "reranker": "a reranker has scores, and no vectors",
}


@dataclass(frozen=True)
class Ladders:
    """What an encoder will offer: prefixes, longest first, and exits, deepest first."""

    dims: tuple[int, ...]
    layers: tuple[int, ...]

    @property
    def shallow(self) -> tuple[int, ...]:
        """The exits but the deepest, shallowest first."""
        return self.layers[:0:-1]


def validated_ladders(kind: Kind, dim: int, depth: int, options: ExportOptions) -> Ladders:
    """What of ``options`` a checkpoint has. Raises DimNotOffered, ExitNotOffered, EncoderError."""
    if kind != "dense":
        _check_nothing_nested(kind, dim, options)
        return Ladders((dim,), (depth,))
    if options.exits and depth < 2:
        raise ExitNotOffered(
            "this kind of encoder has no layers to stop after",
            value=", ".join(map(str, options.exits)),
            next_step="Leave --exits away.",
        )
    return Ladders(dim_ladder(dim, options.dims), exit_ladder(options.exits, depth))


def _check_nothing_nested(kind: Kind, dim: int, options: ExportOptions) -> None:
    if options.dims is not None and options.dims != (dim,):
        raise DimNotOffered(
            f"there are no prefixes to offer: {_UNSUPPORTED_REASONS[kind]}",
            value=", ".join(map(str, options.dims)),
            next_step="Leave --dims away.",
        )
    if options.rotation or options.exits:
        raise EncoderError(
            f"there is nothing to rotate and no exit to fit: {_UNSUPPORTED_REASONS[kind]}",
            value="--rotate" if options.rotation else "--exits",
            next_step="Leave it away.",
        )


def exit_ladder(asked: Sequence[int], depth: int) -> tuple[int, ...]:
    """The exits of a checkpoint of ``depth`` layers, deepest first, ``depth`` itself among them.

    Raises ExitNotOffered for one that is deeper.
    """
    for layer in asked:
        if layer > depth:
            raise ExitNotOffered(
                "the checkpoint has no layer to stop after at this depth",
                value=layer,
                next_step=f"It has {depth} layers: choose exits from 1 to {depth}.",
            )
    return tuple(sorted({depth, *asked}, reverse=True))
