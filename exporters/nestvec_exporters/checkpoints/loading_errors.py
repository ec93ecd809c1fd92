"""What a library raises while it loads a checkpoint, as an error with its cause and a way out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nestvec_exporters.checkpoints.layout import first_folder
from nestvec_exporters.checkpoints.loading_causes import cause_of
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError

_PACKAGES: Final = (
    re.compile(r"requires the (\w+) library but it was not found", re.IGNORECASE),
    re.compile(r"packages that were not found in your environment: ([\w-]+)"),
    re.compile(r"`(\w+)` is required to read"),
    re.compile(r"No module named '([\w-]+)"),
    re.compile(r"need to have (sentencepiece) or tiktoken"),
)
"""How transformers and Python say that a package is missing."""

_INSTALLED_BY: Final = {
    "torchvision": "torchvision, in the build for the installed torch",
    "cv2": "opencv-python",
}
_HIDES_CAUSE: Final = "Unrecognized processing class"


@contextmanager
def loading_errors(folder: Path) -> Iterator[None]:
    """Raise CheckpointUnsupported in place of any error of a library, naming a package if one is missing."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        package = missing_package(error, folder)
        if package is not None:
            raise CheckpointUnsupported(
                "the checkpoint needs a package that is not installed",
                value=package,
                next_step=f"Install it beside nestvec: pip install {_INSTALLED_BY.get(package, package)}.",
            ) from error
        if isinstance(error, CheckpointUnsupported) and _hides_cause(error):
            raise CheckpointUnsupported(
                error.cause, value=cause_of(error.__cause__ or error, folder), next_step=error.next_step
            ) from error.__cause__
        if isinstance(error, NestvecError):
            raise
        raise CheckpointUnsupported(
            "the checkpoint cannot be loaded",
            value=f"{type(error).__name__}: {cause_of(error, folder) if str(error) else ''}".rstrip(": "),
            next_step="Check that its own library loads it, or choose another checkpoint.",
        ) from error


def _hides_cause(error: CheckpointUnsupported) -> bool:
    """Whether an error has nothing but the first line of a library's."""
    library = error.__cause__
    return (
        library is not None
        and not isinstance(library, NestvecError)
        and str(error.value) == str(library).strip().partition("\n")[0]
    )


def missing_package(error: BaseException, folder: Path) -> str | None:
    """The package whose absence caused an error, by the errors behind it; None if that is not the cause."""
    texts = list(_texts(error))
    if any(_HIDES_CAUSE in text for text in texts):
        texts += list(_tokenizer_texts(first_folder(folder)))
    for text in texts:
        for pattern in _PACKAGES:
            match = pattern.search(text)
            if match:
                package = match[1].lower()
                # transformers tries tiktoken last for every vocabulary that it cannot read.
                vocabulary = any(first_folder(folder).glob("*.model"))
                return "sentencepiece" if package == "tiktoken" and vocabulary else package
    return None


def _texts(error: BaseException | None) -> Iterator[str]:
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        yield str(error)
        error = error.__cause__ or error.__context__


def _tokenizer_texts(folder: Path) -> Iterator[str]:
    """Why the tokenizer cannot be loaded: sentence-transformers' processors hide it."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - slow

    try:
        AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # a library raises anything on a damaged file
        yield from _texts(error)
