from __future__ import annotations

from nestvec_exporters.probes.pair_probes import pair_probe_sets
from nestvec_exporters.probes.text_probes import ODD_TEXTS


def words(text: str) -> int:
    return len(text.split())


def test_queries_documents_and_both_are_too_long() -> None:
    alone, together = pair_probe_sets(64, words, full=True)
    lengths = [probe.value for probe in alone.probes if probe.group == "lengths"]
    counts = {(words(str(query)) > 64, words(str(document)) > 64) for query, document in lengths}
    assert counts == {(False, False), (True, False), (False, True), (True, True)}
    assert together.batch == len(together.probes) == 32


def test_odd_texts_are_queries_and_documents() -> None:
    alone, _ = pair_probe_sets(64, words, full=True)
    odd = [probe.value for probe in alone.probes if probe.group == "characters"]
    assert {query for query, _ in odd} >= set(ODD_TEXTS)
    assert {document for _, document in odd} >= set(ODD_TEXTS)


def test_a_quick_verification_has_real_pairs_only() -> None:
    (quick,) = pair_probe_sets(64, words, full=False)
    assert {probe.group for probe in quick.probes} == {"pairs"}
    assert len(quick.probes) >= 16
