"""A rule for the values of one key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nestvec_exporters.inventory.declaration import Declaration, Outcome

UNKNOWN_KEY: Final = "nothing reads this key"
OFF: Final = "the value is off"

RECORD: Final = "records where the checkpoint came from"
TRAINING: Final = "training only"
SPEED: Final = "changes speed, not vectors"
GENERATION: Final = "text generation only"
PRECISION: Final = "weights are read as float32"
LABELS: Final = "names a classifier's labels, which no vector contains"
ROW_PADDING: Final = "rows are padded behind a mask, so padding changes no vector"


def is_off(value: Any) -> bool:
    """Whether a value switches nothing on: null, false, zero or empty."""
    return not value


def _any(value: Any) -> bool:
    return True


@dataclass(frozen=True)
class Rule:
    """What is made of a key's values."""

    outcome: Outcome
    """Of accepted values."""

    reason: str

    accepts: Callable[[Any], bool] = _any

    otherwise: str = UNKNOWN_KEY
    """Why other values, if they are not off, are refused."""

    refuses_off: bool = False
    """Whether a value that is off is refused, too: false says something where true is the default."""

    def judge(self, file: str, key: str, value: Any) -> Declaration:
        """The declaration of a value."""
        if self.accepts(value):
            return Declaration(file, key, value, self.outcome, self.reason)
        if is_off(value) and not self.refuses_off:
            return Declaration(file, key, value, "irrelevant", OFF)
        return Declaration(file, key, value, "refused", self.otherwise)


Rules = Mapping[str, Rule]
"""Rules by key."""


def honoured(by: str) -> Rule:
    """Any value is honoured."""
    return Rule("honoured", by)


def irrelevant(rule: str) -> Rule:
    """No value matters."""
    return Rule("irrelevant", rule)


def refused(reason: str) -> Rule:
    """Only a value that is off is accepted."""
    return Rule("irrelevant", OFF, is_off, reason)


def limited(rule: Rule, accepts: Callable[[Any], bool], otherwise: str) -> Rule:
    """The rule, for the accepted values alone."""
    return Rule(rule.outcome, rule.reason, accepts, otherwise)


def either(honours: bool, rule: Rule, reason: str) -> Rule:
    """The rule where it is honoured; otherwise only a value that is off is accepted."""
    return rule if honours else refused(reason)


def table(rule: Rule, *keys: str) -> dict[str, Rule]:
    """The same rule for several keys."""
    return dict.fromkeys(keys, rule)


def judge(file: str, key: str, value: Any, rules: Rules) -> Declaration:
    """The declaration of a key's value; a key without a rule is refused unless its value is off."""
    rule = rules.get(key)
    return (refused(UNKNOWN_KEY) if rule is None else rule).judge(file, key, value)


def judge_object(file: str, content: Mapping[str, Any], rules: Rules) -> list[Declaration]:
    """The declarations of all keys of a file's object.

    A key ``a.b`` in ``rules`` has the object ``a`` read key by key.
    """
    nested = {key.partition(".")[0] for key in rules if "." in key}
    declarations = []
    for key, value in content.items():
        if key in nested and isinstance(value, dict):
            declarations += [judge(file, f"{key}.{name}", inner, rules) for name, inner in value.items()]
        else:
            declarations.append(judge(file, key, value, rules))
    return declarations
