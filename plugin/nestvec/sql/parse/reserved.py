"""Which names of columns Milvus's filter language can say."""

from __future__ import annotations

import re

_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_MILVUS_WORDS = """
    and or not in like is null exists true false iso interval text_match phrase_match random_sample
    json_contains json_contains_all json_contains_any array_contains array_contains_all array_contains_any
    array_length element_filter match_all match_any match_least match_most match_exact threshold
    minimum_should_match st_equals st_touches st_overlaps st_crosses st_contains st_intersects st_within
    st_dwithin st_isvalid"""
_RESERVED = frozenset(_MILVUS_WORDS.split())


def is_filterable(name: str) -> bool:
    """Whether a filter expression may hold this name; Milvus quotes none (Plan.g4, Identifier, Meta)."""
    return name == "$meta" or (_NAME.fullmatch(name) is not None and name.lower() not in _RESERVED)
