"""What an export is measured against: the checkpoint's own library, never nestvec's reading of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from nestvec_exporters.probes.probe import Probe, ProbeSet
from nestvec_schemas.preprocessing.collate import Array


class Reference(ABC):
    """A checkpoint as its own library runs it."""

    library: str
    """What runs it, with its version: ``sentence-transformers 6.2.0 (SentenceTransformer)``."""

    independent: bool = True
    """Whether that is another program than the one that exported it."""

    prompts: Mapping[str, str] = {}
    """The prompts that the library knows, by name; the manifest must have each of them."""

    max_tokens: int | None = None
    """The longest text that the library takes, in tokens; None where it does not say."""

    heads: int = 0
    """Attention heads, which tell how long a text fits into memory; 0 without attention."""

    @abstractmethod
    def probe_sets(self, max_tokens: int, *, full: bool) -> Sequence[ProbeSet]:
        """The probes that this kind of checkpoint is compared on; fewer unless ``full``.

        ``max_tokens`` is the exported encoder's longest text.
        """

    @abstractmethod
    def encode(self, probes: Sequence[Probe], *, batch: int, prompts: Mapping[str, str]) -> list[Array]:
        """What the library gives for each probe, ``batch`` at a time, in ``ServedEncoder``'s shapes.

        ``prompts`` are the manifest's: the library's own prompt of a name is used where their texts agree.
        """
