"""What a connection remembers between searches: numbers of rows, and how indexes were built."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

COUNT_SECONDS: Final = 60.0
"""How long a number of rows is used to choose how to search; an answer is checked with a fresh one."""

_MAX_COUNTS: Final = 1_024
_MAX_FILTER_CHARS: Final = 4_096
"""Length of a filter beyond which neither its number of rows nor how it is searched is remembered."""
_MAX_CHOICES: Final = 128

CountKey = tuple[str, str, tuple[str, ...]]
"""Collection, filter (or what else was counted), and partitions."""

ChoiceKey = tuple[object, ...]
"""The collection first, then what else of a search decides how it is made."""


@dataclass
class SearchCache:
    """Numbers of rows by filter, and build parameters of indexes by collection and column."""

    clock: Callable[[], float] = time.monotonic
    index_params: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    uneven: dict[tuple[str, str], bool] = field(default_factory=dict)
    """By collection and column: whether vectors differ in length."""
    _counts: OrderedDict[CountKey, tuple[int, float]] = field(default_factory=OrderedDict)
    _choices: OrderedDict[ChoiceKey, object] = field(default_factory=OrderedDict)

    def choice(self, key: ChoiceKey) -> object | None:
        """How such a search was made last, which may be out of date; None if there was none."""
        chosen = self._choices.get(key)
        if chosen is not None:
            # Another statement may have removed it meanwhile.
            self._choices[key] = self._choices.pop(key, chosen)
        return chosen

    def remember_choice(self, key: ChoiceKey, chosen: object) -> None:
        """Keep how a search is made, unless its filter is long."""
        if any(isinstance(part, str) and len(part) > _MAX_FILTER_CHARS for part in key):
            return
        self._choices[key] = chosen
        if len(self._choices) > _MAX_CHOICES:
            self._choices.popitem(last=False)

    def count(self, key: CountKey) -> int | None:
        """The number of rows that was counted lately; None if it must be counted."""
        counted, since = self._counts.get(key, (0, -math.inf))
        return counted if self.clock() - since < COUNT_SECONDS else None

    def remember(self, key: CountKey, count: int) -> None:
        """Keep a number of rows."""
        if len(key[1]) > _MAX_FILTER_CHARS:
            return
        self._counts[key] = (count, self.clock())
        self._counts.move_to_end(key)
        if len(self._counts) > _MAX_COUNTS:
            self._counts.popitem(last=False)

    def forget_counts(self) -> None:
        """Count again: rows were written."""
        self._counts.clear()

    def forget(self, collection: str) -> None:
        """Forget everything about a collection."""
        # A copy: statements of one connection may run concurrently.
        for key in [key for key in list(self._counts) if key[0] == collection]:
            self._counts.pop(key, None)
        for name, column in [*self.index_params, *self.uneven]:
            if name == collection:
                self.index_params.pop((name, column), None)
                self.uneven.pop((name, column), None)
        for choice in [choice for choice in list(self._choices) if choice[0] == collection]:
            self._choices.pop(choice, None)
