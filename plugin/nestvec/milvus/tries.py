"""How long Milvus tries to have one chunk of texts embedded, and how many texts that may be.

For each chunk Milvus makes three tries within 30 seconds, and waits 1 to 1.25 s and 2 to 2.5 s between them
(``internal/util/function/models/common.go``).
"""

from __future__ import annotations

import math
from typing import Final

MIN_CHUNK: Final = 32
MAX_CHUNK: Final = 1024
"""Bounds of the texts in a request, unless the caller chooses another number: Milvus's own default, and the
most that its ``tei`` provider takes."""

CHUNK_SECONDS: Final = 30.0
"""For all tries of one chunk, where no Function states another time."""

_TRIES: Final = 3
_WAITS_SECONDS: Final = 1.25 + 2.5
"""Between the tries of one chunk, at most."""

_REPLY_SECONDS: Final = 0.3
"""From a request's deadline until Milvus has read the error."""


def try_seconds(seconds: float = CHUNK_SECONDS) -> float:
    """The seconds after which a try must fail, so that three fit into ``seconds``; to a tenth, downwards."""
    return math.floor(((seconds - _WAITS_SECONDS) / _TRIES - _REPLY_SECONDS) * 10) / 10
