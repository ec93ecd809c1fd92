"""Queries with documents that break a tokenizer, a length limit or padding, beside real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nestvec_exporters.probes.pairs import TextPair, probe_pairs
from nestvec_exporters.probes.probe import Probe, ProbeGroup, ProbeSet
from nestvec_exporters.probes.text_probes import BATCH, ODD_TEXTS, texts_of_lengths

_QUICK: Final = 16
"""Pairs of a quick verification."""


def pair_probe_sets(max_tokens: int, count: Callable[[str], int], *, full: bool) -> tuple[ProbeSet, ...]:
    """Pairs alone, of odd characters, of all lengths with the query, the document or both too long, and in
    padded batches.

    ``count`` gives a text's tokens, special ones included, without truncation.
    """
    real = probe_pairs()
    if not full:
        return (ProbeSet(_probes(real[:: len(real) // _QUICK], "pairs")),)
    query, document = real[2]
    odd = [(text, document) for text in ODD_TEXTS] + [(query, text) for text in ODD_TEXTS]
    sized = texts_of_lengths(max_tokens, count)
    lengths: list[TextPair] = [(query, text) for text in sized] + [(text, document) for text in sized[::2]]
    overlong = sized[-1]
    backwards = " ".join(reversed(overlong.split()))
    lengths += [(overlong, query), (overlong, backwards), (overlong, sized[-2]), (sized[0], sized[0])]
    ordered = sorted(real[:-1], key=lambda pair: len(pair[0]) + len(pair[1]))
    return (
        ProbeSet(_probes(real, "pairs") + _probes(odd, "characters") + _probes(lengths, "lengths")),
        ProbeSet(_probes([*ordered[: BATCH // 2], *ordered[-BATCH // 2 :]], "batches"), BATCH),
    )


def _probes(pairs: list[TextPair] | tuple[TextPair, ...], group: ProbeGroup) -> tuple[Probe, ...]:
    return tuple(Probe(pair, group) for pair in pairs)
