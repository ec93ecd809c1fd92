"""Record which weights transformers reports as missing or unexpected, whatever loads the models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary


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


_LOADS: Final[WeakKeyDictionary[Any, RecordedLoad]] = WeakKeyDictionary()
"""The loads of models that still exist."""


def load_of(model: Any) -> RecordedLoad | None:
    """The load of a model that was loaded while loads were recorded; None of another."""
    return _LOADS.get(model)


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
        missing, unexpected = (tuple(sorted(info[f"{kind}_keys"])) for kind in ("missing", "unexpected"))
        load = RecordedLoad(place, type(model).__name__, missing, unexpected)
        loads.append(load)
        _LOADS[model] = load
        return (model, info) if reports else model

    library: Any = PreTrainedModel
    library.from_pretrained = classmethod(from_pretrained)
    try:
        yield loads
    finally:
        library.from_pretrained = original
