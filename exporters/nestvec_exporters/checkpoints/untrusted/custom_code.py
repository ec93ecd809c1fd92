"""Classes of a checkpoint's own code, which transformers would load in place of its own if they were trusted.

``auto_map`` names them: ``{"AutoModel": "modeling_x.XModel"}`` in ``config.json``, tokenizers and processors
in their files. A type that transformers knows is loaded as transformers' class, without a word, unless code
is trusted; so a class that would have been loaded is refused by name, unless a row here says what does the
same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nestvec_exporters.checkpoints.files import CheckpointFiles
from nestvec_exporters.checkpoints.layout import read_json
from nestvec_exporters.options import TrustOptions
from nestvec_schemas.errors import CheckpointUnsupported

AUTO_MAP_FILES: Final = (
    "config.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "image_processor_config.json",
    "feature_extractor_config.json",
)
"""The files whose ``auto_map`` transformers reads."""

_MAX_SHOWN: Final = 3
_MODULE_PACKAGES: Final = frozenset({"sentence_transformers", "pylate"})
_PROCESSORS: Final = frozenset(
    {"AutoProcessor", "AutoImageProcessor", "AutoFeatureExtractor", "AutoVideoProcessor"}
)
_ALWAYS: Final = frozenset({"AutoConfig", "AutoTokenizer"}) | _PROCESSORS
RUN_CUSTOM_CODE: Final = frozenset({"custom", "sentence", "decoder", "cross", "sparse", "late"})
"""Kinds whose loaders, and references, run the checkpoint's own code if it is trusted. Others name classes of
transformers, or have images, which the service preprocesses itself."""

_WITHOUT_TRANSFORMERS: Final = frozenset({"ready", "static"})
"""Kinds that are read without a class of transformers: only a tokenizer of its own matters to them."""


@dataclass(frozen=True)
class CustomClass:
    """A class that a checkpoint names in an ``auto_map``."""

    file: Path
    """The file that names it, relative to the checkpoint's folder."""

    auto_class: str
    """The class of transformers that would load it: ``AutoModel``."""

    reference: str
    """``module.Class``, or ``OWNER/REPOSITORY--module.Class``."""

    @property
    def repository(self) -> str | None:
        """The repository on the hub that has the code; None for the checkpoint's own folder."""
        repository, separator, _ = self.reference.partition("--")
        return repository if separator else None

    @property
    def module(self) -> str:
        """The Python file that has the class."""
        return f"{self.reference.rpartition('--')[2].rpartition('.')[0]}.py"


@dataclass(frozen=True)
class NativeEquivalent:
    """A published class of a checkpoint's own code that classes of transformers, or of nestvec, reproduce."""

    reference: re.Pattern[str]
    """What the whole reference in the ``auto_map`` matches."""

    model_types: frozenset[str]
    """The ``model_type`` of its checkpoints."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of transformers' configuration that make transformers' class do the same."""


_REPOSITORY: Final = r"(?:[\w.-]+/[\w.-]+--)?"

NATIVE_EQUIVALENTS: Final[tuple[NativeEquivalent, ...]] = (
    # Read by architectures.nvembed.
    NativeEquivalent(
        re.compile(rf"{_REPOSITORY}(?:modeling|configuration)_nvembed\.NVEmbed(?:Model|Config)"),
        frozenset({"nvembed"}),
    ),
    # Read by text_encoders.published_configs.
    NativeEquivalent(
        re.compile(
            r"nomic-ai/nomic-bert-2048--(?:configuration_hf_nomic_bert\.NomicBertConfig"
            r"|modeling_hf_nomic_bert\.NomicBertModel)"
        ),
        frozenset({"nomic_bert"}),
    ),
    # gte-Qwen2's class differs from transformers' in its mask.
    NativeEquivalent(
        re.compile(r"Alibaba-NLP/gte-Qwen2-[\w.]+-instruct--modeling_qwen\.Qwen2Model"),
        frozenset({"qwen2"}),
        {"is_causal": False},
    ),
)
"""Frozen: a row is added for code that was read and compared, never for a name that sounds right."""


def custom_classes(folder: Path) -> tuple[CustomClass, ...]:
    """The classes of its own code that a checkpoint names, at any depth. Raises CheckpointUnsupported."""
    return tuple(_custom_classes(folder))


def has_own_modules(files: CheckpointFiles) -> bool:
    """Whether ``modules.json`` names a module class that is neither sentence-transformers' nor PyLate's."""
    path = files.folder / "modules.json"
    rows = read_json(path) if path.is_file() else []
    kinds = [row.get("type") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return any(str(kind).partition(".")[0] not in _MODULE_PACKAGES for kind in kinds)


def unexplained_classes(folder: Path, kind: str, ignore: tuple[str, ...] = ()) -> list[CustomClass]:
    """The custom classes that would be loaded for a kind of checkpoint, and that no row reproduces.

    ``kind`` is the name of a row in ``checkpoints.kinds``. ``ignore``: files as ``config.json:auto_map``.
    """
    files = CheckpointFiles(folder)
    relevant = _relevant_classes(kind, files)
    model_type = files.transformer.get("model_type") or files.model_type
    return [
        custom
        for custom in custom_classes(folder)
        if custom.auto_class in relevant
        and f"{custom.file.as_posix()}:auto_map" not in ignore
        and _equivalent(custom, model_type) is None
    ]


def native_settings(folder: Path) -> dict[str, Any]:
    """Settings of transformers' configuration by which its own class does what the checkpoint's code does."""
    files = CheckpointFiles(folder)
    model_type = files.transformer.get("model_type") or files.model_type
    rows = (_equivalent(custom, model_type) for custom in custom_classes(folder))
    return {name: value for row in rows if row is not None for name, value in row.settings.items()}


def apply_native_settings(config: Any, folder: Path) -> None:
    """Set ``native_settings`` on the configuration of a loaded model of transformers."""
    for name, value in native_settings(folder).items():
        setattr(config.get_text_config(), name, value)


def check_custom_code(folder: Path, kind: str, trust: TrustOptions | None) -> None:
    """Raise CheckpointUnsupported for a class of the checkpoint's own code that would change its vectors.

    ``trust``: what the user allows; None where there is no way to allow it.
    """
    if trust is not None and trust.trust_remote_code and kind in RUN_CUSTOM_CODE:
        return
    classes = unexplained_classes(folder, kind, () if trust is None else trust.ignore)
    if classes:
        raise _refusal(classes, kind, trust)


def check_published_code(
    folder: Path, publishers: frozenset[str], trust: TrustOptions | None, owner: str = ""
) -> None:
    """Raise CheckpointUnsupported unless each class of code that a checkpoint names is one of ``publishers``'
    on the hub, or is ignored.

    ``owner``: whose the checkpoint itself is on the hub; empty for a local folder.

    For checkpoints that are rewritten for classes of transformers: the published code is known to do the
    same, and code of the same name in a folder is not.
    """
    ignore = () if trust is None else trust.ignore
    classes = [
        custom
        for custom in custom_classes(folder)
        if (custom.repository or owner).partition("/")[0] not in publishers
        and custom.auto_class not in ("AutoConfig", "AutoTokenizer")
        and f"{custom.file.as_posix()}:auto_map" not in ignore
    ]
    if classes:
        raise _refusal(classes, "sentence", trust)


def _refusal(classes: Sequence[CustomClass], kind: str, trust: TrustOptions | None) -> CheckpointUnsupported:
    first = classes[0]
    file = first.file.as_posix()
    names = f"{file} names a class of the checkpoint's own code"
    cause = f"{names}, which nestvec does not run unless it is trusted"
    way_out = "Choose a checkpoint that transformers loads without trust_remote_code."
    if trust is not None:
        same = f"if transformers' own class does the same, export with --ignore {file}:auto_map"
        place = first.repository or first.module
        read = f"Read {place}, then export with --trust-remote-code to run it; {same}."
        way_out = read if kind in RUN_CUSTOM_CODE else f"{way_out[:-1]}; {same}."
        if trust.trust_remote_code:
            cause = f"{names}, which cannot be exported for this kind of checkpoint ({kind})"
    return CheckpointUnsupported(
        cause,
        value=", ".join(f"{custom.auto_class}: {custom.reference}" for custom in classes[:_MAX_SHOWN]),
        next_step=way_out,
    )


def _custom_classes(folder: Path) -> Iterator[CustomClass]:
    for path in _auto_map_files(folder):
        content = read_json(path)
        named = content.get("auto_map") if isinstance(content, dict) else None
        file = path.relative_to(folder)
        if isinstance(named, dict):
            for auto_class, references in named.items():
                yield from _named(file, str(auto_class), references)
        elif named:  # the form that old tokenizers have: slow class, fast class
            yield from _named(file, "AutoTokenizer", named)


def _named(file: Path, auto_class: str, references: Any) -> Iterator[CustomClass]:
    listed = references if isinstance(references, list | tuple) else [references]
    for reference in listed:
        if reference:
            yield CustomClass(file, auto_class, str(reference))


def _auto_map_files(folder: Path) -> Iterator[Path]:
    """In the folder and those of its modules, which a router nests."""
    if folder.is_file():
        return
    for name in AUTO_MAP_FILES:
        yield from (path for path in sorted(folder.rglob(name)) if path.is_file())


def _relevant_classes(kind: str, files: CheckpointFiles) -> frozenset[str]:
    """The auto classes by which the checkpoint's library loads such a checkpoint; others are unused heads."""
    if kind in _WITHOUT_TRANSFORMERS:
        return frozenset({"AutoTokenizer"})
    if kind == "cross":
        return _ALWAYS | {"AutoModel", "AutoModelForSequenceClassification", "AutoModelForCausalLM"}
    if kind == "sparse":
        return _ALWAYS | {"AutoModel", "AutoModelForMaskedLM"}
    if files.head.endswith("ForImageClassification"):
        return _ALWAYS | {"AutoModel", "AutoModelForImageClassification"}
    return _ALWAYS | {"AutoModel"}


def _equivalent(custom: CustomClass, model_type: Any) -> NativeEquivalent | None:
    rows = (
        row
        for row in NATIVE_EQUIVALENTS
        if model_type in row.model_types and row.reference.fullmatch(custom.reference)
    )
    return next(rows, None)
