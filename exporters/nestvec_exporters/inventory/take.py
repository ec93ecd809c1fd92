"""Every declaration of a checkpoint, from its small files; no weights are read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from nestvec_exporters.checkpoints.files import GRAPHS, SENTENCE_CONFIGS, CheckpointFiles
from nestvec_exporters.checkpoints.kinds import M3, M3_HEADS, SENTENCE
from nestvec_exporters.checkpoints.layouts.trained_pooling import trained_pooling_files
from nestvec_exporters.checkpoints.native.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapters_in
from nestvec_exporters.inventory.context import InventoryContext
from nestvec_exporters.inventory.declaration import Declaration, matches
from nestvec_exporters.inventory.layout import (
    MODULES_FILE,
    ROUTER_CLASSES,
    ROUTER_FILES,
    TRANSFORMER_CLASSES,
    ModuleFolder,
    declared_modules,
)
from nestvec_exporters.inventory.own_code import read_by_own_code
from nestvec_exporters.inventory.rules import sentence_transformers, tokenizer
from nestvec_exporters.inventory.rules.files import OTHER_FORMAT, judge_extra_file
from nestvec_exporters.inventory.rules.images import image_declarations
from nestvec_exporters.inventory.rules.modules import WEIGHTLESS, module_rules
from nestvec_exporters.inventory.rules.preprocessors import (
    COLBERT_FILE,
    PREPROCESSOR_FILES,
    READS_IMAGES,
    colbert_rules,
    whole_file_rules,
)
from nestvec_exporters.inventory.rules.rule import honoured, irrelevant, judge_object, refused
from nestvec_exporters.inventory.rules.sentence_bert import sentence_bert_rules
from nestvec_exporters.inventory.rules.transformers_config import transformers_config
from nestvec_exporters.inventory.tokenizer_file import truncation_direction
from nestvec_exporters.inventory.widths import width_mismatches
from nestvec_exporters.options import ExportOptions

_MAX_FILES: Final = 5_000
_PLAIN: Final = ModuleFolder("Transformer", "")
_STATIC: Final = ModuleFolder("StaticEmbedding", "")
_WEIGHTS: Final = ("model.safetensors", "model.safetensors.index.json")


def take_inventory(folder: Path, kind: str, options: ExportOptions) -> tuple[Declaration, ...]:
    """The declarations of a checkpoint that is read as a kind (``kinds.CHECKPOINT_KINDS``).

    Those that ``options.ignore`` names are ``ignored`` in place of ``refused``. Raises CheckpointUnsupported
    for a file that is not JSON.
    """
    if folder.is_file():  # word vectors declare nothing but themselves
        return ()
    context = InventoryContext(CheckpointFiles(folder), kind, options)
    modules, declarations = declared_modules(folder)
    with_modules = bool(modules)
    homes = modules or [_STATIC if kind == "static" else _PLAIN]
    for module in homes:
        declarations += _module_declarations(module, context, with_modules=with_modules)
    declarations += _model_declarations(context)
    mismatches = {} if kind == "ready" else _mismatches(folder, homes)
    declarations = [
        replace(declaration, outcome="refused", reason=reason)
        if (reason := mismatches.get((declaration.file, declaration.key))) is not None
        else declaration
        for declaration in declarations
    ]
    declarations = read_by_own_code(declarations, context)
    declarations += _extra_files(context, homes, {declaration.file for declaration in declarations})
    return tuple(apply_ignored(declarations, options.ignore))


def apply_ignored(declarations: Iterable[Declaration], patterns: Iterable[str]) -> Iterator[Declaration]:
    """The declarations, with refused ones that a pattern names as ignored."""
    patterns = tuple(patterns)
    for declaration in declarations:
        named = declaration.outcome == "refused" and any(
            matches(pattern, declaration) for pattern in patterns
        )
        yield (
            replace(declaration, outcome="ignored", reason=f"--ignore: {declaration.reason}")
            if named
            else declaration
        )


def _module_declarations(
    module: ModuleFolder, context: InventoryContext, *, with_modules: bool
) -> list[Declaration]:
    """The declarations of the files in a module's folder."""
    if module.module_class in ROUTER_CLASSES:
        return []
    files, path = context.files, module.path("config.json")
    if module.module_class in TRANSFORMER_CLASSES:
        declarations = transformers_config(path, files.json(path), context, with_modules=with_modules)
        declarations += _sentence_bert(module, context, with_modules=with_modules)
    else:
        content = files.json(path)
        module_table = module_rules(module.module_class, context)
        declarations = [] if module_table is None else judge_object(path, content, module_table)
    if context.kind in READS_IMAGES:
        for name in PREPROCESSOR_FILES[:2]:
            declarations += image_declarations(module.path(name), files.json(module.path(name)))
    path = module.path(tokenizer.FILE)
    content = files.json(path)
    rules = tokenizer.tokenizer_rules(context, content, with_modules=with_modules)
    declarations += judge_object(path, content, rules)
    for name in tokenizer.WHOLE_FILES:
        if files.has(module.path(name)):
            declarations.append(honoured("the exported tokenizer").judge(module.path(name), "", None))
    if files.has(module.path(tokenizer.TEMPLATE)):
        rule = tokenizer.template_rule(context, with_modules=with_modules)
        declarations.append(rule.judge(module.path(tokenizer.TEMPLATE), "", "a chat template"))
    direction = truncation_direction(context.folder / module.path(tokenizer.TOKENIZER_JSON))
    if direction is not None:
        rule = tokenizer.truncation_rule(context)
        file = module.path(tokenizer.TOKENIZER_JSON)
        declarations.append(rule.judge(file, "truncation.direction", direction))
    return declarations


def _sentence_bert(
    module: ModuleFolder, context: InventoryContext, *, with_modules: bool
) -> list[Declaration]:
    """The settings of sentence-transformers' Transformer, which it reads only where ``modules.json`` is."""
    declarations = []
    for name in SENTENCE_CONFIGS:
        path = module.path(name)
        content = context.files.json(path)
        rules = sentence_bert_rules(context, content) if with_modules or context.kind == "ready" else {}
        declarations += judge_object(path, content, rules)
    return declarations


def _model_declarations(context: InventoryContext) -> list[Declaration]:
    """The declarations of the files that describe the checkpoint as a whole."""
    files = context.files
    file = sentence_transformers.FILE
    declarations = judge_object(
        file, files.json(file), sentence_transformers.sentence_transformers_rules(context)
    )
    declarations += judge_object(COLBERT_FILE, files.json(COLBERT_FILE), colbert_rules(context))
    return declarations


def _mismatches(folder: Path, modules: list[ModuleFolder]) -> dict[tuple[str, str], str]:
    """The widths that do not match, by each chain of modules: those of each route, and those outside."""
    mismatches: dict[tuple[str, str], str] = {}
    for route in dict.fromkeys(module.route for module in modules):
        mismatches |= width_mismatches(folder, [module for module in modules if module.route == route])
    return mismatches


def _extra_files(
    context: InventoryContext, modules: list[ModuleFolder], judged: set[str]
) -> list[Declaration]:
    """The declarations of the other files."""
    named = judged | {MODULES_FILE}
    for module in modules:
        names: tuple[str, ...] = (
            *(() if _is_weightless(module, modules) else _WEIGHTS),
            "config.json",
            *ROUTER_FILES,
            *tokenizer.WHOLE_FILES,
            tokenizer.FILE,
        )
        if module.module_class in TRANSFORMER_CLASSES and context.kind in READS_IMAGES:
            names = (*names, *PREPROCESSOR_FILES)
        named |= {module.path(name) for name in (*names, *_shards(context, module), *SENTENCE_CONFIGS)}
    by_name = whole_file_rules(context)
    loaded = _loaded_files(context)
    declarations = _adapters(context)
    named |= {declaration.file for declaration in declarations}
    for path in _files(context.folder):
        name = path.rpartition("/")[2]
        if path in named or path in loaded or (name in by_name and path.count("/") == 0):
            if path not in judged and name in by_name:
                declarations.append(by_name[name].judge(path, "", None))
            continue
        declaration = _m3_head(path, context) or _weightless(path, modules) or judge_extra_file(path)
        if declaration is not None:
            declarations.append(declaration)
    return declarations


def _is_weightless(module: ModuleFolder, modules: list[ModuleFolder]) -> bool:
    """Whether no module of a folder loads weights."""
    return all(other.module_class in WEIGHTLESS for other in modules if other.place == module.place)


def _weightless(path: str, modules: list[ModuleFolder]) -> Declaration | None:
    """The declaration of weights in the folder of a module that loads none; None for another file."""
    for module in modules:
        if path in map(module.path, _WEIGHTS) and _is_weightless(module, modules):
            return refused(f"{module.module_class} loads no weights").judge(path, "", "weights")
    return None


def _m3_head(path: str, context: InventoryContext) -> Declaration | None:
    """The declaration of a head of BGE-M3 that is not ignored; None for another file."""
    name, _, suffix = path.partition(".")
    if context.kind != M3 or name not in M3_HEADS or path in context.options.ignore:
        return None
    if suffix != "safetensors" and context.files.has(f"{name}.safetensors"):
        return irrelevant(OTHER_FORMAT).judge(path, "", None)
    return honoured("weights of words or vectors of tokens, beside the text's vector").judge(path, "", None)


def _adapters(context: InventoryContext) -> list[Declaration]:
    """The declarations of adapters in folders below a text encoder's, each an expert of the encoder."""
    if context.kind not in _WITH_ADAPTERS:
        return []
    return [
        honoured(f"the expert {adapter.name}").judge(
            (adapter.folder.relative_to(context.folder) / name).as_posix(), "", None
        )
        for adapter in adapters_in(context.folder)
        for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)
    ]


def _shards(context: InventoryContext, module: ModuleFolder) -> list[str]:
    """The files of weights that an index names."""
    index = context.files.json(module.path("model.safetensors.index.json"))
    weights: Any = index.get("weight_map")
    return sorted({str(name) for name in weights.values()}) if isinstance(weights, dict) else []


def _loaded_files(context: InventoryContext) -> set[str]:
    """Other files that the loader of this kind of checkpoint reads."""
    names = {COLBERT_FILE, sentence_transformers.FILE, "idf.json", tokenizer.TEMPLATE, "chat_template.json"}
    names |= {ADAPTER_CONFIG, ADAPTER_WEIGHTS}  # transformers loads an adapter beside a configuration
    if context.kind == "ready":
        return names | set(GRAPHS)
    if context.kind == "decoder":
        names |= {path.name for path in trained_pooling_files(context.folder)}
    if context.kind in _OWN_FORMATS:
        patterns = ("*.safetensors", "weights/*", "tokenizers/*", "config/**/*", "*.npy", "*.parquet", "*.pt")
        names |= {
            path.relative_to(context.folder).as_posix()
            for pattern in patterns
            for path in context.folder.glob(pattern)
        }
    return names


_WITH_ADAPTERS: Final = frozenset({SENTENCE, "decoder"})
"""Kinds whose loaders make an expert of every adapter beside the weights, and check it."""

_OWN_FORMATS: Final = frozenset({"static", "nvembed", "pixel", "vision"})
"""Kinds whose loaders read every file of weights in the folder, and check them."""


def _files(folder: Path) -> Iterator[str]:
    """The paths of a folder's files; not those that begin with a dot."""
    count = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith("."):
                continue
            count += 1
            if count > _MAX_FILES:
                return
            yield Path(parent, name).relative_to(folder).as_posix()
