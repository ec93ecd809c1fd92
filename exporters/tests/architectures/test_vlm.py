"""Vision-language models at tiny size against transformers' own, one message at a time."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny_vision_language
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from nestvec_exporters import ExportOptions, Overrides, export
from nestvec_exporters.architectures.vlm import Message, message_rows, probe_messages
from nestvec_exporters.checkpoints.chat_template import read_chat
from nestvec_exporters.probes.images import probe_images
from nestvec_exporters.verify.compare import run_graph
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError
from nestvec_schemas.preprocessing.collate import Arrays
from nestvec_schemas.preprocessing.pixels import image_pixels
from nestvec_schemas.repository import GRAPH, read_manifest
from nestvec_schemas.vectors import Vectors, cosines

WRITERS: dict[str, Callable[[Path], Path]] = {
    "llava": tiny_vision_language.write_llava,
    "qwen2": tiny_vision_language.write_qwen,
    "qwen25": partial(tiny_vision_language.write_qwen, kind="Qwen2_5_VL"),
    # Five tokens a side: the windows at the edge are smaller than the others.
    "qwen25-ragged": partial(tiny_vision_language.write_qwen, kind="Qwen2_5_VL", edge=140),
    "qwen3": tiny_vision_language.write_qwen3,
}


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seeing")


def exported_as(place: Path, name: str) -> Path:
    """The folder of an encoder, made once a session; its checkpoint lies in ``place / name``."""
    if not (place / name).exists():
        WRITERS[name](place / name)
        export(ExportOptions(str(place / name), place / "models", name))
    return place / "models" / name


def rows(folder: Path, messages: list[Message]) -> list[Arrays]:
    tower = read_manifest(folder).main_tower
    assert tower.chat is not None and tower.image_transform is not None
    return message_rows(tower, folder, messages, tower.max_tokens)


def embedded(folder: Path, messages: list[Message]) -> Vectors:
    return np.stack(run_graph(folder / GRAPH, rows(folder, messages)))


@pytest.mark.parametrize("name", WRITERS)
def test_vectors_are_those_of_transformers(name: str, place: Path) -> None:
    folder = exported_as(place, name)
    manifest = read_manifest(folder)
    assert manifest.verification.cosine_min > 0.99999
    assert manifest.verification.sentences >= len(probe_messages())
    assert (list(manifest.towers), manifest.main_tower.pooling, manifest.normalised) == (
        ["text"],
        "lasttoken",
        True,
    )
    # A comparison says something only where other messages have other vectors.
    found = embedded(folder, probe_messages())
    near = found @ found.T - 2 * np.eye(len(found))
    assert near.max() < 0.999


def test_llava_is_what_its_own_processor_makes_of_a_message(place: Path) -> None:
    """Chat template, places of the image and pixels by transformers alone."""
    folder, checkpoint = exported_as(place, "llava"), place / "llava"
    known: Any = transformers
    processor = known.LlavaProcessor(
        known.AutoImageProcessor.from_pretrained(checkpoint, backend="pil"),
        known.AutoTokenizer.from_pretrained(checkpoint),
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    model = known.LlavaModel.from_pretrained(checkpoint).eval()
    messages: list[Message] = [(probe_images()[0], "what is it?"), (None, "a frog"), (probe_images()[1], "")]
    expected = []
    for image, text in messages:
        content = ([{"type": "image"}] if image else []) + [{"type": "text", "text": text}]
        said = processor.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        given = processor(images=image, text=said, return_tensors="pt") if image else processor(text=said)
        given = {name: torch.as_tensor(given[name]) for name in given if name != "token_type_ids"}
        given = {name: one[None] if one.ndim == 1 else one for name, one in given.items()}
        with torch.no_grad():
            last = model(**given).last_hidden_state[0, -1]
        expected.append((last / last.norm()).numpy())
    assert cosines(embedded(folder, messages), np.stack(expected)).min() > 0.99999


@pytest.mark.parametrize("name", ["qwen2", "llava"])
def test_a_vector_does_not_depend_on_its_neighbours(name: str, place: Path) -> None:
    folder = exported_as(place, name)
    messages = probe_messages()[12:32]
    together = embedded(folder, messages)
    alone = np.concatenate([embedded(folder, [one]) for one in messages])
    assert cosines(together, alone).min() > 0.999999
    assert cosines(embedded(folder, messages[::-1])[::-1], alone).min() > 0.999999


def test_a_batch_of_texts_does_not_run_the_image_encoder(place: Path) -> None:
    """Its pixels have a size that the image encoder could not read; its weights are in the branch, once."""
    folder = exported_as(place, "qwen2")
    (row,) = rows(folder, [(None, "a frog")])
    assert row["pixels"].shape == (1, 1, 3)
    graph = onnx.load(str(folder / GRAPH)).graph
    (branch,) = [node for node in graph.node if node.op_type == "If"]
    inside = [node.name for part in branch.attribute for node in part.g.node]
    assert sum("/traced/vision/" in name for name in inside) > 50
    assert {node.op_type for node in graph.node if "/traced/vision/" in node.name} <= {"Constant"}
    weights = transformers.Qwen2VLModel.from_pretrained(place / "qwen2").num_parameters()
    numbers = sum(
        int(np.prod(one.dims)) for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT
    )
    assert weights <= numbers < 1.1 * weights


def test_a_long_text_loses_its_end_and_keeps_the_layout(place: Path) -> None:
    folder = exported_as(place, "qwen2")
    tower = read_manifest(folder).main_tower
    assert tower.chat is not None and tower.image_transform is not None
    both = message_rows(tower, folder, [(probe_images()[0], "a" * 600), (probe_images()[0], "")], 200)
    long, empty = (row["input_ids"].tolist() for row in both)
    assert len(long) == 200
    tail = empty[-12:]
    assert long[-12:] == tail
    assert long.count(tower.chat.token) == tower.chat.count


def test_without_a_template_the_image_stands_before_the_text(place: Path) -> None:
    exported_as(place, "qwen2")
    tokenizer = transformers.AutoTokenizer.from_pretrained(place / "qwen2")
    config = transformers.AutoConfig.from_pretrained(place / "qwen2")
    tokenizer.chat_template = None
    chat = read_chat(place, tokenizer, config, 4, None)
    assert chat.pictured == "<|vision_start|><|image_pad|><|vision_end|>{text}"
    assert chat.alone == "{text}"
    # As VLM2Vec was trained.
    chat = read_chat(place, tokenizer, config, 4, "<|image_pad|> {text}")
    assert (chat.pictured, chat.alone) == ("<|image_pad|> {text}", "{text}")
    with pytest.raises(CheckpointUnsupported, match="--layout"):
        read_chat(place, tokenizer, config, 4, "{text}")
    tokenizer.chat_template = "{% for one in messages %}{{ one['content'] + '' }}{% endfor %}"
    with pytest.raises(CheckpointUnsupported, match="--layout"):
        read_chat(place, tokenizer, config, 4, None)


def test_a_layout_is_verified_and_told(place: Path, tmp_path: Path) -> None:
    exported_as(place, "qwen2")
    overrides = Overrides(layout="<|image_pad|> {text}", query_prompt="Find: ")
    manifest = export(ExportOptions(str(place / "qwen2"), tmp_path, "vlm2vec", overrides=overrides))
    assert manifest.main_tower.chat is not None
    assert (manifest.main_tower.chat.alone, manifest.prompts) == ("{text}", {"query": "Find: "})


def test_int8_halves_the_language_model_and_leaves_the_image_encoder(place: Path, tmp_path: Path) -> None:
    exported_as(place, "qwen2")
    manifest = export(ExportOptions(str(place / "qwen2"), tmp_path, "small", precision="int8-dynamic"))
    assert manifest.verification.cosine_min > 0.95
    kinds = {one.data_type for one in onnx.load(str(tmp_path / "small" / GRAPH)).graph.initializer}
    assert onnx.TensorProto.INT8 in kinds


def weights_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All tensors that a graph holds, those of its branches as well."""
    yield from graph.initializer
    for node in graph.node:
        for one in node.attribute:
            if one.HasField("t"):
                yield one.t
            if one.HasField("g"):
                yield from weights_of(one.g)


@pytest.mark.parametrize("name", WRITERS)
def test_fp16_halves_the_image_encoder_as_well(name: str, place: Path, tmp_path: Path) -> None:
    exact = exported_as(place, name)
    manifest = export(ExportOptions(str(place / name), tmp_path, "small", precision="fp16"))
    assert manifest.verification.cosine_min > 0.999
    near = cosines(embedded(tmp_path / "small", probe_messages()), embedded(exact, probe_messages()))
    assert 0.999 < near.min() < 0.99999999
    # Texts alone do not run the image encoder, and come in batches of their own.
    alone = [one for one in probe_messages() if one[0] is None][:4]
    assert cosines(embedded(tmp_path / "small", alone), embedded(exact, alone)).min() > 0.999
    counts = Counter[int]()
    for one in weights_of(onnx.load(str(tmp_path / "small" / GRAPH)).graph):
        counts[one.data_type] += int(np.prod(one.dims))
    # What stays wide are angles and windows, which are no weights.
    assert counts[onnx.TensorProto.FLOAT] < 0.1 * counts[onnx.TensorProto.FLOAT16]


def test_numbers_too_large_for_fp16_are_told(place: Path, tmp_path: Path) -> None:
    exported_as(place, "qwen2")
    copy = tmp_path / "copy"
    shutil.copytree(place / "qwen2", copy)
    weights = load_file(copy / "model.safetensors")
    (merger,) = [name for name in weights if name.endswith("merger.mlp.2.weight")]
    weights[merger] *= 1e7
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointUnsupported, match=r"float16 holds, 65,504: .*fp32 or int8"):
        export(ExportOptions(str(copy), tmp_path, "small", precision="fp16"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"format": "tensorrt"}, "TensorRT"),
        ({"accelerate": True}, "--tensorrt"),
        ({"overrides": Overrides(frames=2)}, "--frames"),
        ({"overrides": Overrides(pooling="mean")}, "--pooling"),
        ({"exits": (1,)}, "sample"),
        ({"max_tokens": 40}, "take more tokens"),
        ({"max_tokens": 4000}, "does not take texts of this many tokens"),
    ],
)
def test_what_it_cannot_do_is_said(options: dict[str, Any], told: str, place: Path, tmp_path: Path) -> None:
    exported_as(place, "llava")
    with pytest.raises(NestvecError, match=told):
        export(ExportOptions(str(place / "llava"), tmp_path, "other", **options))
    assert not (tmp_path / "other").exists()


def test_a_square_for_qwen_is_within_the_areas_that_it_takes(tmp_path: Path) -> None:
    from nestvec_exporters.vision.image_preprocessing import parse_preprocessing

    def edge(**config: Any) -> int:
        return parse_preprocessing(
            {"image_processor_type": "Qwen2VLImageProcessor", **config}
        ).transform.height

    assert edge() == 448
    assert edge(max_pixels=300 * 300) == 280
    assert edge(min_pixels=600 * 600) == 616
    assert edge(patch_size=16, merge_size=2) == 448
    with pytest.raises(CheckpointUnsupported, match="no square"):
        edge(min_pixels=300 * 300, max_pixels=301 * 301)


def test_squares_are_not_resized_again_by_the_checkpoints_processor(place: Path) -> None:
    from nestvec_exporters.vision.image_tower import read_processor

    folder = exported_as(place, "qwen2")
    how = read_manifest(folder).main_tower.image_transform
    assert how is not None
    square = Image.fromarray(image_pixels(probe_images()[3], how))
    grid = np.asarray(read_processor(place / "qwen2")(square)["image_grid_thw"])
    assert grid.tolist() == [[1, how.height // 14, how.width // 14]]


def as_sentence_transformers(folder: Path, *, pooling: str = "lasttoken", **settings: Any) -> Path:
    """The layout that Qwen3-VL-Embedding is published in, whose processor needs torchvision to load."""
    tiny_vision_language.write_qwen3(folder)
    names = ("Transformer", "Pooling", "Normalize")
    places = ("", "1_Pooling", "2_Normalize")
    read = {"method": "forward", "method_output_name": "last_hidden_state"}
    files = {
        "modules.json": [
            {"idx": at, "name": str(at), "path": place, "type": f"sentence_transformers.models.{name}"}
            for at, (name, place) in enumerate(zip(names, places, strict=True))
        ],
        "1_Pooling/config.json": {"embedding_dimension": 32, "pooling_mode": pooling, "include_prompt": True},
        "sentence_bert_config.json": {
            "transformer_task": "feature-extraction",
            "modality_config": {
                **dict.fromkeys(("text", "image", "image+text"), read),
                "message": {**read, "format": "structured"},
            },
            "module_output_name": "token_embeddings",
            "processing_kwargs": {"chat_template": {"add_generation_prompt": True}},
        },
        "config_sentence_transformers.json": {
            "model_type": "SentenceTransformer",
            "prompts": {"default": "Represent the user's input."},
            "default_prompt_name": "default",
            **settings,
        },
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return folder


def test_a_default_prompt_is_the_systems_message(tmp_path: Path) -> None:
    checkpoint = as_sentence_transformers(tmp_path / "sentence")
    manifest = export(ExportOptions(str(checkpoint), tmp_path / "models", "vl", verify="quick"))
    assert manifest.main_tower.chat is not None
    head = "<|im_start|>system\nRepresent the user's input.<|im_end|>\n<|im_start|>user\n"
    assert manifest.main_tower.chat.alone == f"{head}{{text}}<|im_end|>\n<|im_start|>assistant\n"
    assert manifest.verification.cosine_min > 0.9999


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"pooling": "mean"}, "last token's vector"), ({"default_prompt_name": None}, "messages of the system")],
)
def test_other_modules_and_prompts_are_refused(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    checkpoint = as_sentence_transformers(tmp_path / "sentence", **settings)
    with pytest.raises(CheckpointUnsupported, match=message):
        export(ExportOptions(str(checkpoint), tmp_path / "models", "vl", verify="quick"))
