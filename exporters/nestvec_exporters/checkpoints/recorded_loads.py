"""Record which weights transformers reports as missing or unexpected, whatever loads the models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RecordedLoad:
    """A model that transformers loaded."""

    folder: Path
    """The folder of its weights."""

    model_class: str

    missing: tuple[str, ...]
    """Weights that the model has and the files lack: filled with random numbers."""

    unexpected: tuple[str, ...]
    """Weights that the files have and the model does not take."""


@contextmanager
def recorded_loads() -> Iterator[list[RecordedLoad]]:
    """Every model that ``from_pretrained`` loads meanwhile, in order.

    transformers reports missing and unexpected weights only if its caller asks, and sentence-transformers
    does not ask. Not for several threads at once.
    """
    from transformers import PreTrainedModel  # noqa: PLC0415 - slow

    loads: list[RecordedLoad] = []
    original = PreTrainedModel.__dict__["from_pretrained"]

    def from_pretrained(model_class: Any, name: Any, *args: Any, **options: Any) -> Any:
        reports = options.pop("output_loading_info", False)
        model, info = original.__func__(model_class, name, *args, output_loading_info=True, **options)
        place = Path(str(name), str(options.get("subfolder") or ""))
        loads.append(
            RecordedLoad(
                place,
                type(model).__name__,
                tuple(sorted(info["missing_keys"])),
                tuple(sorted(info["unexpected_keys"])),
            )
        )
        return (model, info) if reports else model

    library: Any = PreTrainedModel
    library.from_pretrained = classmethod(from_pretrained)
    try:
        yield loads
    finally:
        library.from_pretrained = original
