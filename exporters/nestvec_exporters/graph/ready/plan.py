"""What is made of a ready graph's output: by what it is, by the modules that are declared, and by options."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nestvec_exporters.checkpoints.interaction_config import Markers
from nestvec_exporters.checkpoints.prompts import Prefix
from nestvec_exporters.graph.ready.append import Appended
from nestvec_exporters.graph.ready.layout import ReadyFolder
from nestvec_exporters.graph.ready.modules import Linear, Unit, VectorModule, final_width, ready_pooling_modes
from nestvec_exporters.graph.ready.onnx_graph import OnnxGraph
from nestvec_exporters.graph.ready.pooling import POOLINGS
from nestvec_exporters.graph.tensors import INPUTS
from nestvec_exporters.options import ExportOptions
from nestvec_exporters.probes.pairs import TYPE_IDS
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.late_interaction import KEEP_INPUT
from nestvec_schemas.towers import OutputKind

TOKENS = "tokens"
"""The pooling that keeps token vectors apart."""

_KINDS: dict[str, OutputKind] = {
    "SentenceTransformer": "dense",
    "CrossEncoder": "reranker",
    "MultiVectorEncoder": "multivector",
    "SparseEncoder": "sparse",
}
"""What the types of model in ``config_sentence_transformers.json`` give."""


@dataclass(frozen=True)
class ReadyPlan:
    """What is appended, and what that gives."""

    appended: Appended
    kind: OutputKind
    normalised: bool

    def with_prefixes(self, prefixes: tuple[Prefix, ...]) -> ReadyPlan:
        """The same without prompts in pooling."""
        return replace(self, appended=replace(self.appended, prefixes=prefixes))


def plan_modules(
    graph: OnnxGraph, folder: ReadyFolder, options: ExportOptions, markers: Markers | None
) -> ReadyPlan:
    """What is appended. Raises CheckpointUnsupported where that is not known, or widths do not fit."""
    if not graph.gives_tokens:
        return _of_sentence(graph, folder, options)
    declared = folder.declared
    pooling = options.overrides.pooling or "+".join(declared.poolings) or (TOKENS if markers else None)
    if pooling is None:
        raise CheckpointUnsupported(
            f"the graph gives one vector per token ({graph.output}), and nothing says how to pool them",
            value=folder.home.folder.name,
            next_step=f"Add --pooling {', '.join(POOLINGS)} (as its model card says), "
            "or --pooling tokens for late interaction.",
        )
    if pooling == TOKENS:
        return _of_tokens(graph, folder)
    modes = ready_pooling_modes(pooling)
    width = final_width(graph.width, declared.before, f"the graph's {graph.output}")
    if declared.pooled_width not in (None, width):
        raise CheckpointUnsupported(
            f"Pooling declares another width than the graph's {graph.output} has",
            value=f"{declared.pooled_width} against {width}",
            next_step="Correct the Pooling's config.json, or choose the graph that belongs to it.",
        )
    # A graph without modules.json is pooled as its model card says, and such vectors have length 1.
    bare = not declared.names and not folder.has_weights
    after = (Unit(),) if bare else declared.after
    appended = Appended(
        inputs=INPUTS,
        width=final_width(width * len(modes), after, "Pooling"),
        before=declared.before,
        poolings=modes,
        after=after,
    )
    return ReadyPlan(appended, "dense", bare or declared.normalises)


def check_declared_type(folder: ReadyFolder, kind: OutputKind) -> None:
    """Raise CheckpointUnsupported if the checkpoint declares a model of another kind than the graph gives."""
    declared = folder.home.json("config_sentence_transformers.json").get("model_type")
    if declared is not None and _KINDS.get(str(declared)) != kind:
        raise CheckpointUnsupported(
            f"the checkpoint declares another type of model than its graph and modules make ({kind})",
            value=declared,
            next_step="Export its weights: --from weights.",
        )


def _of_tokens(graph: OnnxGraph, folder: ReadyFolder) -> ReadyPlan:
    """Late interaction: the modules of token vectors, then length 1."""
    modules = folder.declared.before
    lost = [module.name for module in folder.declared.after if not isinstance(module, Unit)]
    if lost:
        raise _refused("the modules after Pooling do not apply to token vectors", lost)
    projections = [module for module in modules if isinstance(module, Linear)]
    if projections and projections[-1].width == graph.width != projections[0].expects:
        modules = ()  # The graph's width says that its projection is inside.
    width = final_width(graph.width, modules, f"the graph's {graph.output}")
    if not modules or not isinstance(modules[-1], Unit):
        modules = (*modules, Unit())
    appended = Appended(inputs=(*INPUTS, KEEP_INPUT), width=width, before=modules, keeps_tokens=True)
    return ReadyPlan(appended, "multivector", normalised=True)


def _of_sentence(graph: OnnxGraph, folder: ReadyFolder, options: ExportOptions) -> ReadyPlan:
    """A score, or a text's vector, which is taken as it is."""
    declared, pooling = folder.declared, options.overrides.pooling
    if pooling is not None:
        raise CheckpointUnsupported(
            f"the graph pools already: its {graph.output} is one vector or score per input",
            value=f"--pooling {pooling}",
            next_step="Omit it, or name an output of token vectors: --onnx-output NAME.",
        )
    if graph.gives == "score":
        if declared.names[1:]:
            raise _refused("the graph gives a score, and modules after it are declared", declared.names[1:])
        inputs = (*INPUTS, TYPE_IDS) if TYPE_IDS in graph.inputs else INPUTS
        return ReadyPlan(Appended(inputs=inputs, width=1), "reranker", normalised=False)
    unproven: list[VectorModule] = [
        module for module in (*declared.before, *declared.after) if not isinstance(module, Unit)
    ]
    chosen = options.onnx_output is not None or folder.has_weights
    if unproven and not chosen:
        raise _refused(
            f"the graph gives a text's vector ({graph.output}), and nothing says whether the modules that "
            "the checkpoint declares are inside",
            [module.name for module in unproven],
        )
    _check_sentence_width(graph, folder)
    unit = declared.normalises and not graph.normalised
    appended = Appended(inputs=INPUTS, width=graph.width, after=(Unit(),) if unit else ())
    return ReadyPlan(appended, "dense", unit or graph.normalised)


def _check_sentence_width(graph: OnnxGraph, folder: ReadyFolder) -> None:
    declared = folder.declared
    if declared.pooled_width is None:
        return
    width = final_width(declared.pooled_width * len(declared.poolings), declared.after, "Pooling")
    if width != graph.width:
        raise CheckpointUnsupported(
            f"the modules of the checkpoint declare another width than the graph's {graph.output} has",
            value=f"{width} against {graph.width}",
            next_step="Choose the graph that belongs to them, or export the checkpoint's weights: "
            "--from weights.",
        )


def _refused(cause: str, names: list[str] | tuple[str, ...]) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        cause,
        value=", ".join(names),
        next_step="Choose a graph that gives token vectors (last_hidden_state), or export the checkpoint's "
        "weights: --from weights.",
    )
