"""How a service behaves; the defaults are meant to be left alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Limits and sizes of one service.

    ``max_inputs``: texts a request (Milvus Lite sends up to 2,048, Milvus's ``tei`` 1,024 as registered).
    ``max_body``: bytes a request. ``batch_tokens`` and ``batch_texts``: the largest engine batch, padding
    included. ``auto_truncate``: cut overlong text where the request does not say. ``remember_bytes`` and
    ``remember_seconds``: how many vectors are kept for the same text asked again at another dim.
    ``threads``: of the embedded engine, 0 for one a core.
    """

    max_inputs: int = 2048
    max_body: int = 32 << 20
    batch_tokens: int = 4096
    batch_texts: int = 64
    auto_truncate: bool = True
    remember_bytes: int = 64 << 20
    remember_seconds: float = 60.0
    threads: int = 0
