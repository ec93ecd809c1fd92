from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nestvec.datasets.image_pairs import ALL_LANGUAGES, open_pairs
from nestvec.engines.contract import Batch
from nestvec.evaluate.evaluation import Evaluation, evaluate, exact_index, open_datasets
from nestvec.evaluate.outcomes import EvaluateOptions
from nestvec.evaluate.report.page import render_page
from nestvec.evaluate.variants import EncoderVariant, RequestedSizes, choose_variants
from nestvec.evaluate.vectors.encode import RunBatch
from nestvec.evaluate.vectors.sources import Backend
from nestvec_schemas.errors import DatasetUnusable, EncoderNotFound
from nestvec_schemas.preprocessing.pixels import ImageTransform
from nestvec_schemas.towers import Tower
from nestvec_schemas.vectors import Vectors

TOWERS = {
    "text": Tower(
        inputs=("input_ids", "attention_mask"), output="sentence_embedding", pooling="mean", max_tokens=8
    ),
    "image": Tower(
        inputs=("pixels",),
        output="sentence_embedding",
        pooling="cls",
        max_tokens=4,
        image_transform=ImageTransform(height=2, width=2),
    ),
}
WORDS = ["w1", "w2", "w3", "w3", "w4"]
GERMAN = [None, "w5", "w6", "w6", "w7"]


def lines() -> list[dict[str, Any]]:
    """Five pictures; two share a caption, and one has none in German."""
    return [
        {"_id": f"p{at}", "image": f"images/{at}.png", "caption": word, "captions": {"de": GERMAN[at]}}
        for at, word in enumerate(WORDS)
    ]


@pytest.fixture
def write_pairs(tmp_path: Path) -> Callable[..., Path]:
    """Writes a set whose pictures' first level of red is the number of their word."""

    def write(records: list[dict[str, Any]] | None = None, name: str = "set") -> Path:
        folder = tmp_path / name
        (folder / "images").mkdir(parents=True, exist_ok=True)
        for at, word in enumerate(WORDS):
            Image.new("RGB", (2, 2), (int(word[1:]), 0, 0)).save(folder / "images" / f"{at}.png")
        text = "\n".join(map(json.dumps, lines() if records is None else records))
        (folder / "pairs.jsonl").write_text(text, encoding="utf-8")
        return folder

    return write


def one_hot(number: int) -> Vectors:
    found = np.zeros(16, np.float32)
    found[number] = 1
    return found


def opened(subject: EncoderVariant) -> RunBatch:
    """A picture's vector is that of the word whose number it shows; other words are of no picture."""
    vocabulary = json.loads((subject.folder / "tokenizer.json").read_text())["model"]["vocab"]
    numbers = {at: int(word[1:]) for word, at in vocabulary.items() if word[1:].isdigit() and word[0] == "w"}

    def run(batch: Batch) -> Vectors:
        if batch.part == "image":
            return np.stack([one_hot(int(pixels[0, 0, 0])) for pixels in batch.arrays["pixels"]])
        words = [
            [numbers[int(one)] for one in ids if int(one) in numbers] for ids in batch.arrays["input_ids"]
        ]
        return np.stack([one_hot(found[-1] % 16) for found in words])

    return run


@contextmanager
def silent(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda done: None


def evaluated(models: Path, folder: Path, cache: Path, *languages: str) -> Evaluation:
    subjects = choose_variants(models, ["tiny"], (), RequestedSizes((16,)))
    means = Backend(opened, exact_index, cache, silent)
    return evaluate(open_datasets([folder], languages), subjects, EvaluateOptions(("float",)), means)


def test_a_shared_caption_is_relevant_for_each_of_its_images(write_pairs: Callable[..., Path]) -> None:
    by_text, by_image = open_pairs(write_pairs())
    assert (by_text.name, by_image.name) == ("set, text→image", "set, image→text")
    assert by_text.queries.inputs == ("w1", "w2", "w3", "w4")
    assert dict(by_text.queries.qrels) == {"0": {"0": 1}, "1": {"1": 1}, "2": {"2": 1, "3": 1}, "3": {"4": 1}}
    assert list(by_image.inputs("document")) == ["w1", "w2", "w3", "w4"]
    assert by_image.queries.qrels["p2"] == by_image.queries.qrels["p3"] == {"2": 1}
    assert list(by_text.inputs("document")) == list(by_image.queries.inputs)
    assert by_text.digests["document"] == by_image.digests["query"]


def test_languages_share_the_same_images(write_pairs: Callable[..., Path]) -> None:
    found = open_pairs(write_pairs(), ("de",))
    assert [one.language for one in found] == [None, None, "de", "de"]
    by_text, by_image = found[2:]
    assert (by_text.document_count, by_text.queries.inputs) == (5, ("w5", "w6", "w7"))
    assert (len(by_image.queries.ids), by_image.queries.unjudged) == (4, 1)
    assert [one.name for one in open_pairs(write_pairs(), (ALL_LANGUAGES,))] == [one.name for one in found]


def test_only_the_test_split_is_measured(write_pairs: Callable[..., Path]) -> None:
    records = [one | {"split": "test" if at > 2 else "train"} for at, one in enumerate(lines())]
    by_text, _ = open_pairs(write_pairs(records))
    assert (by_text.document_count, by_text.queries.inputs) == (2, ("w3", "w4"))
    with pytest.raises(DatasetUnusable, match="no line in the split test: train"):
        open_pairs(write_pairs([one | {"split": "train"} for one in lines()]))


def test_both_directions_are_measured(
    write_encoder: Callable[..., Path], write_pairs: Callable[..., Path], tmp_path: Path
) -> None:
    models = write_encoder(layers=(2,), towers=TOWERS).parent
    found = evaluated(models, write_pairs(), tmp_path / "cache", "de")
    whole = {
        (row["dataset"], row["language"], row["direction"]): [row[f"r@{k}"] for k in (1, 5)]
        for row in found.rows
        if row["form"] == "float" and row["dim"] == 16
    }
    assert whole["set, text→image", None, "text→image"] == [1.0, 1.0]
    assert whole["set, image→text", None, "image→text"] == [1.0, 1.0]
    # No German word is that of a picture: all are equally far, and come in their order.
    assert whole["set de, text→image", "de", "text→image"][0] == 0.0
    assert whole["mean", None, "both"][1] == 1.0
    assert found.notes == ("set de, image→text: 1 queries without judgements are left out.",)
    assert all(row["r@1_low"] <= row["r@1"] <= row["r@1_high"] for row in found.rows)  # type: ignore[operator]
    assert "<th>R@5</th>" in render_page(found)
    # Pictures once for both ways, and the four of German; captions with the prompt and without, by language.
    names = sorted(one.name.rsplit("-", 1)[0] for one in (tmp_path / "cache").iterdir())
    assert names == ["tiny-image-2"] * 2 + ["tiny-text-2"] * 4


def test_another_image_of_the_same_name_is_embedded_again(
    write_encoder: Callable[..., Path], write_pairs: Callable[..., Path], tmp_path: Path
) -> None:
    models = write_encoder(layers=(2,), towers=TOWERS).parent
    before = evaluated(models, write_pairs(), tmp_path / "cache").rows[0]
    folder = write_pairs()
    Image.new("RGB", (2, 2), (9, 0, 0)).save(folder / "images" / "4.png")
    after = evaluated(models, folder, tmp_path / "cache").rows[0]
    assert (before["r@1"], after["r@1"]) == (1.0, 0.75)


def test_an_encoder_without_the_tower(
    write_encoder: Callable[..., Path], write_pairs: Callable[..., Path], tmp_path: Path
) -> None:
    models = write_encoder(layers=(2,)).parent
    with pytest.raises(EncoderNotFound, match="needs an encoder with a tower for images: tiny, with text"):
        evaluated(models, write_pairs(), tmp_path / "cache")


def test_a_file_that_is_not_an_image(
    write_encoder: Callable[..., Path], write_pairs: Callable[..., Path], tmp_path: Path
) -> None:
    models = write_encoder(layers=(2,), towers=TOWERS).parent
    folder = write_pairs()
    (folder / "images" / "3.png").write_text("no picture")
    with pytest.raises(DatasetUnusable, match=r"1 images of set, text→image cannot be embedded.*3\.png"):
        evaluated(models, folder, tmp_path / "cache")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "images/none.png"}, r"line 2 of .* names an image that cannot be read: images/none\.png"),
        ({"_id": "p0"}, r"line 2 of .* repeats an id: p0"),
        ({"image": None}, "line 2 of .*: it has no image"),
        ({"caption": 3}, "line 2 of .*: its captions are not strings"),
        ({"captions": "de"}, "its captions are not strings"),
        ({"captions": ["de"]}, "its captions are not strings"),
        ({"_id": ""}, "line 2 of .*: it has no _id"),
    ],
)
def test_lines_that_are_none(write_pairs: Callable[..., Path], change: dict[str, Any], message: str) -> None:
    records = lines()
    records[1] |= change
    with pytest.raises(DatasetUnusable, match=message):
        open_pairs(write_pairs(records))


def test_no_captions_and_unknown_languages(write_pairs: Callable[..., Path]) -> None:
    bare = [{"_id": one["_id"], "image": one["image"]} for one in lines()]
    with pytest.raises(DatasetUnusable, match="has no captions: 5 lines"):
        open_pairs(write_pairs(bare))
    with pytest.raises(DatasetUnusable, match=r"no captions in this language: dee.*Did you mean 'de'"):
        open_pairs(write_pairs(), ("dee",))


def test_captions_by_language_alone(write_pairs: Callable[..., Path]) -> None:
    records = [{name: one[name] for name in ("_id", "image", "captions")} for one in lines()]
    assert [one.language for one in open_pairs(write_pairs(records))] == ["de", "de"]
