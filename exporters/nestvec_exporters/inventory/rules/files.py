"""Files and folders beside the declared ones: weights that nothing names, and what is no part of a model."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

from nestvec_exporters.inventory.declaration import Declaration
from nestvec_exporters.inventory.rules.rule import RECORD, TRAINING, Rule, irrelevant

OTHER_FORMAT: Final = "a copy in another format"

_UNNAMED_WEIGHTS: Final = "no module that the export reads names these weights"
_UNNAMED_MODULE: Final = "modules.json does not name this folder of a module"
_UNNAMED_CONFIG: Final = "no module that the export reads names this configuration"

_PATTERNS: Final[tuple[tuple[re.Pattern[str], Rule], ...]] = tuple(
    (re.compile(pattern), irrelevant(rule))
    for pattern, rule in (
        (r"(pytorch_model|tf_model|flax_model|rust_model)\b.*\.(bin|h5|msgpack|ot|json)", OTHER_FORMAT),
        (r"consolidated[\w.-]*\.(safetensors|pth)", OTHER_FORMAT),
        (r"params\.json", OTHER_FORMAT),
        (r"(ort|quantize|openvino|optimum)_config\.json", OTHER_FORMAT),
        (r"(data|train|training|eval|mteb|similarity_evaluation)\w*_config\.json", TRAINING),
        (
            r"(.*/)?[\w.-]+\.(onnx|onnx_data|onnx\.data|gguf|ggml|mlmodel|tflite|ot|pb|xml|hef|rten)",
            OTHER_FORMAT,
        ),
        (r"(training_args|optimizer|scheduler|scaler|rng_state[\w-]*)\.(bin|pt|pth)", TRAINING),
        (
            r"(trainer_state|training_config|train_results|all_results|eval_results|training_stats)\.json",
            TRAINING,
        ),
        (
            r".*\.(md|txt|html|pdf|csv|tsv|png|jpe?g|gif|svg|webp|ipynb|yml|yaml|log|py|sh|lock|toml|cff)",
            RECORD,
        ),
        (r"(LICENSE|NOTICE|LICENCE|USE_POLICY|USAGE)[\w.-]*", RECORD),
    )
)

_FORMAT_FOLDERS: Final = ("onnx", "openvino", "coreml", "gguf", "original", "tflite", "mlx", "rust", "ov")
_TRAINING_FOLDERS: Final = re.compile(r"checkpoint-\d+|runs|logs|wandb|eval|evals|results|metrics")
_WEIGHTS: Final = re.compile(r".*\.(safetensors|pt|pth|bin|ckpt|npz|npy|h5|pkl|pickle|joblib|msgpack)")
_MODULE_FOLDER: Final = re.compile(r"\d+_\w+")


def judge_extra_file(path: str) -> Declaration | None:
    """The declaration of a file that no module names; None for a file that is no part of a model."""
    parts = PurePosixPath(path).parts
    folder = parts[0] if len(parts) > 1 else ""
    if folder in _FORMAT_FOLDERS:
        return Declaration(path, "", None, "irrelevant", OTHER_FORMAT)
    if folder and _TRAINING_FOLDERS.fullmatch(folder):
        return Declaration(path, "", None, "irrelevant", TRAINING)
    name = parts[-1]
    if folder and _MODULE_FOLDER.fullmatch(folder) and (name.endswith(".json") or _WEIGHTS.fullmatch(name)):
        return Declaration(path, "", None, "refused", _UNNAMED_MODULE)
    for pattern, rule in _PATTERNS:
        if pattern.fullmatch(name):
            return rule.judge(path, "", None)
    if _WEIGHTS.fullmatch(name):
        return Declaration(path, "", None, "refused", _UNNAMED_WEIGHTS)
    if name.endswith("config.json"):
        return Declaration(path, "", None, "refused", _UNNAMED_CONFIG)
    return None
