"""What a checkpoint's ``modules.json`` declares after its transformer, read for a graph that ends there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.layout import read_json
from nestvec_exporters.graph.ready.activations import ACROSS_FEATURES, ACTIVATIONS
from nestvec_exporters.graph.ready.node_builder import NodeBuilder
from nestvec_exporters.graph.ready.pooling import POOLINGS
from nestvec_exporters.graph.ready.weights import read_arrays
from nestvec_schemas.errors import CheckpointUnsupported, nearest
from nestvec_schemas.preprocessing.collate import Array

TOKENS: Final = "token_embeddings"
SENTENCE: Final = "sentence_embedding"
"""What a module reads and writes."""

_PASSED: Final = frozenset({"Dropout"})
"""Modules that do nothing in evaluation."""

_KNOWN: Final = ("Transformer", "Pooling", "Dense", "LayerNorm", "Normalize", "Dropout")

_LAYER_NORM_EPSILON: Final = 1e-5


class VectorModule(Protocol):
    """A module that maps vectors: pooled ones, or those of tokens."""

    @property
    def name(self) -> str:
        """Class and folder."""
        ...

    @property
    def width(self) -> int | None:
        """Of the vectors that it gives; None where it keeps their width."""
        ...

    @property
    def expects(self) -> int | None:
        """Of the vectors that it takes; None where it takes any."""
        ...

    def nodes(self, b: NodeBuilder, x: str) -> str:
        """Append it."""
        ...


@dataclass(frozen=True)
class Linear:
    """Dense."""

    name: str

    weight: Array
    """(out, in) float32."""

    bias: Array | None
    activation: str

    slope: Array | None = None
    """PReLU's weight."""

    residual: Array | None = None
    """(out, in) float32: a map of the input that is added to the output."""

    @property
    def width(self) -> int | None:
        return int(self.weight.shape[0])

    @property
    def expects(self) -> int | None:
        return int(self.weight.shape[1])

    def nodes(self, b: NodeBuilder, x: str) -> str:
        output = b.add("MatMul", [x, b.constant(self.weight.T)])
        if self.bias is not None:
            output = b.binary("Add", output, self.bias)
        if self.slope is not None:
            output = b.binary("PRelu", output, self.slope)
        else:
            output = ACTIVATIONS[self.activation](b, output)
        if self.residual is None:
            return output
        return b.add("Add", [output, b.add("MatMul", [x, b.constant(self.residual.T)])])


@dataclass(frozen=True)
class Norm:
    """LayerNorm."""

    name: str
    weight: Array
    bias: Array
    width: int | None = None

    @property
    def expects(self) -> int | None:
        return len(self.weight)

    def nodes(self, b: NodeBuilder, x: str) -> str:
        average = b.constant(np.full((len(self.weight), 1), 1 / len(self.weight)))
        centred = b.add("Sub", [x, b.add("MatMul", [x, average])])
        variance = b.add("MatMul", [b.add("Mul", [centred, centred]), average])
        deviation = b.add("Sqrt", [b.binary("Add", variance, _LAYER_NORM_EPSILON)])
        scaled = b.binary("Mul", b.add("Div", [centred, deviation]), self.weight)
        return b.binary("Add", scaled, self.bias)


@dataclass(frozen=True)
class Unit:
    """Normalize."""

    name: str = "Normalize"
    width: int | None = None
    expects: int | None = None

    def nodes(self, b: NodeBuilder, x: str) -> str:
        return b.add("LpNormalization", [x], {"axis": -1, "p": 2})


@dataclass(frozen=True)
class Declared:
    """The modules after the transformer, in order."""

    before: tuple[VectorModule, ...] = ()
    """Those of token vectors."""

    poolings: tuple[str, ...] = ()
    """Empty where no module pools."""

    pooled_width: int | None = None
    """The width that Pooling declares for token vectors."""

    include_prompt: bool = True
    """Whether pooling counts a prompt's tokens."""

    after: tuple[VectorModule, ...] = ()
    """Those of pooled vectors."""

    names: tuple[str, ...] = field(default=())
    """Classes of all modules, the transformer's first; empty in transformers' layout."""

    @property
    def normalises(self) -> bool:
        """Whether vectors have length 1 at the end."""
        return bool(self.after) and isinstance(self.after[-1], Unit)

    def omits_prompts(self, poolings: Sequence[str]) -> bool:
        """Whether these poolings omit the tokens of prompts; the last token is never a prompt's."""
        return not self.include_prompt and bool(poolings) and tuple(poolings) != ("lasttoken",)


def read_declared(home: Path) -> Declared:
    """The modules of a checkpoint's folder. Raises CheckpointUnsupported for those that no node replaces."""
    path = home / "modules.json"
    rows = read_json(path) if path.is_file() else []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise CheckpointUnsupported(
            "modules.json does not list modules",
            value=type(rows).__name__,
            next_step="Save the checkpoint again with sentence-transformers.",
        )
    places = [(str(row.get("type", "")).rpartition(".")[2], str(row.get("path") or "")) for row in rows]
    names = tuple(kind for kind, _ in places)
    if not places:
        return Declared()
    if names[0] != "Transformer":
        raise _unknown(names[0])
    before: list[VectorModule] = []
    after: list[VectorModule] = []
    pooling: dict[str, Any] | None = None
    for kind, folder in places[1:]:
        config = CheckpointFiles(home / folder).config
        if kind == "Pooling" and pooling is None:
            pooling = config
        elif kind not in _PASSED:
            module = _read_module(kind, home, folder)
            _check_feature(kind, config, pooled=pooling is not None, module=module)
            (before if pooling is None else after).append(module)
    if pooling is None:
        return Declared(before=tuple(before), names=names)
    width = pooling.get("embedding_dimension") or pooling.get("word_embedding_dimension")
    return Declared(
        before=tuple(before),
        poolings=_declared_modes(pooling),
        pooled_width=width if isinstance(width, int) else None,
        include_prompt=pooling.get("include_prompt", True) is not False,
        after=tuple(after),
        names=names,
    )


def ready_pooling_modes(text: str) -> tuple[str, ...]:
    """The names in ``mean+cls``. Raises CheckpointUnsupported."""
    modes = tuple(text.split("+"))
    for mode in modes:
        if mode not in POOLINGS:
            raise CheckpointUnsupported(
                "the graph's token vectors cannot be pooled this way",
                value=mode,
                next_step=f"Choose of {', '.join(POOLINGS)}, several with + between; tokens keeps them apart."
                f"{nearest(mode, POOLINGS)}",
            )
    return modes


def final_width(width: int, modules: Sequence[VectorModule], start: str) -> int:
    """The width after all of them. Raises CheckpointUnsupported, with both numbers, where one differs."""
    before = start
    for module in modules:
        if module.expects is not None and module.expects != width:
            raise CheckpointUnsupported(
                f"{module.name} declares another width than {before} gives",
                value=f"{module.expects} against {width}",
                next_step="Correct modules.json and its folders, or choose the graph that belongs to them.",
            )
        width, before = module.width or width, module.name
    return width


def _declared_modes(config: dict[str, Any]) -> tuple[str, ...]:
    mode = config.get("pooling_mode")
    if mode is not None:
        return ready_pooling_modes(mode if isinstance(mode, str) else "+".join(map(str, mode)))
    switches = {
        "cls": "pooling_mode_cls_token",
        "max": "pooling_mode_max_tokens",
        "mean": "pooling_mode_mean_tokens",
        "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
        "weightedmean": "pooling_mode_weightedmean_tokens",
        "lasttoken": "pooling_mode_lasttoken",
    }
    for key, value in config.items():
        if key.startswith("pooling_mode_") and value and key not in switches.values():
            ready_pooling_modes(key.removeprefix("pooling_mode_"))
    return tuple(mode for mode in POOLINGS if config.get(switches[mode])) or ("mean",)


def _read_module(kind: str, home: Path, folder: str) -> VectorModule:
    name, place = f"{kind} ({folder or '.'})", home / folder
    if kind == "Dense":
        return _read_dense(name, place)
    if kind == "LayerNorm":
        arrays = read_arrays(place, {"norm.weight", "norm.bias"})
        _check_equal(name, CheckpointFiles(place).config.get("dimension"), len(arrays["norm.weight"]))
        return Norm(name, arrays["norm.weight"], arrays["norm.bias"])
    if kind == "Normalize":
        return Unit(name)
    raise _unknown(kind)


def _read_dense(name: str, place: Path) -> Linear:
    config = CheckpointFiles(place).config
    bias, residual = config.get("bias", True) is not False, config.get("use_residual") is True
    package, _, activation = str(
        config.get("activation_function", "torch.nn.modules.activation.Tanh")
    ).rpartition(".")
    if package.partition(".")[0] != "torch" or activation not in {*ACTIVATIONS, "PReLU"}:
        raise CheckpointUnsupported(
            f"{name} has an activation that cannot be appended to a graph",
            value=config.get("activation_function"),
            next_step=f"Known activations of torch.nn: {', '.join(sorted({*ACTIVATIONS, 'PReLU'}))}.",
        )
    wide_in, wide_out = config.get("in_features"), config.get("out_features")
    names = {"linear.weight"} | ({"linear.bias"} if bias else set())
    names |= {"residual.weight"} if residual and wide_in != wide_out else set()
    names |= {"activation_function.weight"} if activation == "PReLU" else set()
    arrays = read_arrays(place, names)
    weight = arrays["linear.weight"]
    _check_equal(name, wide_in, weight.shape[1])
    _check_equal(name, wide_out, weight.shape[0])
    return Linear(
        name,
        weight,
        arrays.get("linear.bias"),
        activation,
        slope=arrays.get("activation_function.weight"),
        residual=arrays.get("residual.weight", np.eye(len(weight), dtype=np.float32)) if residual else None,
    )


def _check_feature(kind: str, config: dict[str, Any], *, pooled: bool, module: VectorModule) -> None:
    """Raise CheckpointUnsupported unless a module reads and writes what the one before it wrote."""
    here = SENTENCE if pooled else TOKENS
    default = TOKENS if kind == "Dense" and not pooled and "module_input_name" not in config else SENTENCE
    source = config.get("module_input_name") or default
    target = config.get("module_output_name") or source
    if (source, target) != (here, here):
        raise CheckpointUnsupported(
            f"{module.name} reads and writes another output than that of the module before it",
            value=f"{source}, {target} against {here}",
            next_step="Export the checkpoint's weights: --from weights.",
        )
    if not pooled and isinstance(module, Linear) and module.activation in ACROSS_FEATURES:
        raise CheckpointUnsupported(
            f"{module.name} has an activation over all tokens of a batch",
            value=module.activation,
            next_step="Choose a checkpoint whose Dense follows Pooling.",
        )


def _check_equal(name: str, declared: Any, real: int) -> None:
    if declared is not None and declared != real:
        raise CheckpointUnsupported(
            f"{name} declares another width than its weights have",
            value=f"{declared} against {real}",
            next_step="Correct its config.json, or download the checkpoint again.",
        )


def _unknown(kind: str) -> CheckpointUnsupported:
    needs = {
        "WeightedLayerPooling": "needs the outputs of all layers, which the graph does not give",
        "MultiVectorMask": "masks token vectors in a way that a graph cannot be checked for",
    }
    return CheckpointUnsupported(
        f"the checkpoint declares a module that {needs.get(kind, 'cannot be appended to a graph')}",
        value=kind,
        next_step=f"Modules that can be: {', '.join(_KNOWN)}. With safetensors beside the graph, try "
        "--from weights.",
    )
