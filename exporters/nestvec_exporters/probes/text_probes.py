"""Texts that break a tokenizer, a length limit or padding, beside real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from nestvec_exporters.probes.probe import Probe, ProbeGroup, ProbeSet
from nestvec_exporters.probes.texts import probe_texts

ODD_TEXTS: Final = (
    "a",
    "I",
    "NASA and the U.S. Department of ENERGY",
    "straße, naïve café, Žluťoučký kůň, İstanbul",
    "e\u0301cole and \u00e9cole; ﬁne ﬂour; ① ½",
    "日本語の文章と中文文本、한국어 문장",
    "العربية نص و עברית",
    "🎈👩‍👩‍👧 emoji 🇩🇪",
    "a\x00b NUL and a tab\tand\r\nnew lines\n\n",
    "  spaces   around  ",
    "[CLS] literal [SEP] special [MASK] tokens </s> <s> <pad> <|endoftext|> <bos>",
    "snake_case(x) == f'{y}' // https://example.org/?q=1&k=2#top",
    "1,234,567.89 € ≈ 10⁶; x² + y² = z²",
    "!?",
    "​zero​width and\u00a0no-break",
)
"""Capitals, accents, scripts, emoji, NUL, white space, literal special tokens, marks."""

BATCH: Final = 32
"""Texts that are embedded together, with padding."""

_QUICK: Final = 12
"""Real texts of a quick verification."""

_PROMPTED: Final = 6
"""Texts behind each prompt."""

_MAX_WORDS: Final = 1 << 17


def text_probe_sets(
    prompts: Mapping[str, str], max_tokens: int, count: Callable[[str], int], *, full: bool
) -> tuple[ProbeSet, ...]:
    """Texts alone, behind each prompt, of all lengths, of odd characters, and in padded batches.

    ``count`` gives a text's tokens, special ones included, without truncation.
    """
    texts = probe_texts()
    short = sorted(texts[:-1], key=len)
    prompted = [
        Probe(text, "prompts", name)
        for name in prompts
        for text in (short[:: max(1, len(short) // _PROMPTED)][:_PROMPTED])
    ]
    if not full:
        return (ProbeSet((*(Probe(text) for text in short[:: len(short) // _QUICK]), *prompted)),)
    real = [Probe(text) for text in texts]
    characters = [Probe(text, "characters") for text in ODD_TEXTS]
    lengths = [Probe(text, "lengths") for text in texts_of_lengths(max_tokens, count)]
    return (
        ProbeSet((*real, *prompted, *characters, *lengths)),
        ProbeSet(tuple(Probe(text, "batches") for text in (short[0], *short[-2:])), BATCH),
        ProbeSet(tuple(Probe(text, "batches") for text in short[-BATCH:]), BATCH),
    )


def without_truncated(
    sets: Sequence[ProbeSet], max_tokens: int, count: Callable[[str], int]
) -> list[ProbeSet]:
    """The texts of at most ``max_tokens``: for libraries that do not truncate as a service must."""
    return [
        replace(
            probes, probes=tuple(probe for probe in probes.probes if count(str(probe.value)) <= max_tokens)
        )
        for probes in sets
    ]


def texts_of_lengths(max_tokens: int, count: Callable[[str], int]) -> list[str]:
    """Texts of about 2, 4, 8, … tokens, one of exactly ``max_tokens`` where words allow it, and one longer.

    The longest are real words in a new order each, so that what is truncated would matter.
    """
    words = " ".join(probe_texts()).split()
    sizes = []
    size = 2
    while size < max_tokens:
        sizes.append(size)
        size *= 2
    return [*(_text_of(size, words, count) for size in (*sizes, max_tokens)), _overlong(words, max_tokens)]


def _text_of(tokens: int, words: list[str], count: Callable[[str], int]) -> str:
    """The longest beginning of ``words``, repeated if need be, with at most ``tokens`` tokens."""
    repeated = (words * (1 + tokens // len(words)))[:_MAX_WORDS]
    low = high = 1
    # By doubling: most texts are far shorter than all words, and counting those takes long.
    while high < len(repeated) and count(" ".join(repeated[:high])) <= tokens:
        low, high = high, min(2 * high, len(repeated))
    while low < high:
        middle = (low + high + 1) // 2
        if count(" ".join(repeated[:middle])) <= tokens:
            low = middle
        else:
            high = middle - 1
    return " ".join(repeated[:low])


def _overlong(words: list[str], max_tokens: int) -> str:
    repeated = words * (2 + max_tokens // len(words))
    return " ".join(reversed(repeated[: max_tokens + max_tokens // 4 + 8]))


GROUPS: Final[tuple[ProbeGroup, ...]] = ("texts", "prompts", "lengths", "characters", "batches")
"""The groups of text probes."""
