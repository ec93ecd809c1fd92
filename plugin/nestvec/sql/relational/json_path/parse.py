"""The parser of paths of SQL/JSON, with PostgreSQL's grammar."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from nestvec.sql.relational.formats.regular_expressions import postgres_regex
from nestvec.sql.relational.json_path.nodes import (
    LAST,
    PREDICATES,
    DescendStep,
    FilterStep,
    ItemsStep,
    JsonPath,
    MemberStep,
    MethodStep,
    PathAnchor,
    PathArithmetic,
    PathChain,
    PathComparison,
    PathConstant,
    PathExists,
    PathIsUnknown,
    PathJunction,
    PathNegation,
    PathNode,
    PathPrefix,
    PathRegex,
    PathSign,
    PathStep,
    PathVariable,
    SubscriptStep,
)
from nestvec.sql.relational.json_path.tokens import (
    PathNotSupported,
    PathSyntaxError,
    PathToken,
    path_tokens,
    syntax_error,
)

_COMPARISONS: Final = {"==": "==", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_CONSTANTS: Final = {"null": None, "true": True, "false": False}
_METHODS: Final = ("type", "size", "double", "abs", "floor", "ceiling")
_MISSING_METHODS: Final = ("datetime", "keyvalue")
_DIFFERENT: Final = re.compile(r"\\[mMyYAZ0-9]|\(\?|\*\*\*|\[\[[.=<>:]")
"""What RE2 refuses, or reads otherwise."""
_MAX_DEPTH: Final = 100


@lru_cache(maxsize=256)
def parse_json_path(text: str) -> JsonPath:
    """The tree of a path. Raises PathSyntaxError, PathNotSupported."""
    return _PathParser(text).path()


class _PathParser:
    """Reads the tokens of one path from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = path_tokens(text)
        self.at = 0
        self.depth = 0
        self.in_subscript = 0
        self.in_filter = 0

    def path(self) -> JsonPath:
        """All of the text."""
        if not self.text.strip():
            raise PathSyntaxError("invalid input syntax for type jsonpath: ''")
        mode = self.token.text.lower() if self.token.kind == "word" else ""
        if mode in ("strict", "lax"):
            self.at += 1
        root = self.disjunction()
        if self.token.kind != "end":
            self.fail()
        return JsonPath(mode == "strict", root)

    @property
    def token(self) -> PathToken:
        """The token that is next."""
        return self.tokens[self.at]

    def fail(self) -> NoReturn:
        """Raise PathSyntaxError at the token that is next."""
        syntax_error(self.text, self.token.start)

    def take(self, *operators: str) -> str:
        """The next token if it is an operator of these, which is then read; else an empty text."""
        if self.token.kind == "operator" and self.token.text in operators:
            self.at += 1
            return self.tokens[self.at - 1].text
        return ""

    def take_word(self, *words: str) -> bool:
        """Whether the next tokens are these keywords, which are then read."""
        ahead = self.tokens[self.at : self.at + len(words)]
        same = [(token.kind, token.text.lower()) for token in ahead] == [("word", word) for word in words]
        self.at += len(words) if same else 0
        return same

    def expect(self, operator: str) -> None:
        """Read an operator that has to be next."""
        if not self.take(operator):
            self.fail()

    def predicate(self, node: PathNode) -> PathNode:
        """The node, which has to be true, false or unknown."""
        return node if isinstance(node, PREDICATES) else self.fail()

    def value(self, node: PathNode) -> PathNode:
        """The node, which must not be a predicate."""
        return self.fail() if isinstance(node, PREDICATES) else node

    def disjunction(self) -> PathNode:
        """Predicates with ``||`` between them, or what one of those is."""
        node = self.conjunction()
        while self.take("||"):
            node = PathJunction("||", self.predicate(node), self.predicate(self.conjunction()))
        return node

    def conjunction(self) -> PathNode:
        """Predicates with ``&&`` between them."""
        node = self.comparison()
        while self.take("&&"):
            node = PathJunction("&&", self.predicate(node), self.predicate(self.comparison()))
        return node

    def comparison(self) -> PathNode:
        """A comparison, ``starts with``, ``like_regex``, ``!``, ``is unknown``, or a value."""
        if self.take("!"):
            is_delimited = self.token.text == "(" or self.token.text.lower() == "exists"
            return PathNegation(self.predicate(self.primary())) if is_delimited else self.fail()
        in_brackets = self.token.text == "("
        node = self.sum()
        if isinstance(node, PREDICATES):
            return PathIsUnknown(node) if in_brackets and self.take_word("is", "unknown") else node
        operator = self.take(*_COMPARISONS)
        if operator:
            return PathComparison(_COMPARISONS[operator], node, self.value(self.sum()))
        if self.take_word("starts", "with"):
            prefix = self.primary()
            is_text = isinstance(prefix, PathConstant) and isinstance(prefix.value, str)
            return PathPrefix(node, prefix) if is_text or isinstance(prefix, PathVariable) else self.fail()
        return self.regex(node) if self.take_word("like_regex") else node

    def regex(self, operand: PathNode) -> PathNode:
        """What follows ``like_regex``."""
        pattern = self.string()
        flags = self.string() if self.take_word("flag") else ""
        return PathRegex(operand, _regex(pattern, flags))

    def string(self) -> str:
        """A string that has to be next."""
        if self.token.kind != "string":
            self.fail()
        self.at += 1
        return self.tokens[self.at - 1].text

    def sum(self) -> PathNode:
        """Values with ``+`` and ``-`` between them."""
        node = self.product()
        while operator := self.take("+", "-"):
            node = PathArithmetic(operator, self.value(node), self.value(self.product()))
        return node

    def product(self) -> PathNode:
        """Values with ``*``, ``/`` and ``%`` between them."""
        node = self.signed()
        while operator := self.take("*", "/", "%"):
            node = PathArithmetic(operator, self.value(node), self.value(self.signed()))
        return node

    def signed(self) -> PathNode:
        """A value with its signs."""
        operator = self.take("+", "-")
        if not operator:
            return self.primary()
        self.enter()
        operand = self.value(self.signed())
        self.depth -= 1
        return PathSign(operator, operand)

    def primary(self) -> PathNode:
        """A constant, a variable, an anchor or what is in brackets, with its accessors."""
        token = self.token
        self.at += 1
        if token.kind == "number":
            head: PathNode = PathConstant(token.number)
        elif token.kind == "string":
            head = PathConstant(token.text)
        elif token.kind == "variable":
            head = PathVariable(token.text)
        elif token.kind == "operator" and token.text == "(":
            head = self.inner()
        elif token.kind == "operator" and (token.text == "$" or (token.text == "@" and self.in_filter)):
            head = PathAnchor(token.text)
        elif token.kind == "word" and token.text in _CONSTANTS:
            head = PathConstant(_CONSTANTS[token.text])
        elif token.kind == "word" and token.text.lower() == "last" and self.in_subscript:
            head = PathAnchor("last")
        elif token.kind == "word" and token.text.lower() == "exists":
            self.expect("(")
            return PathExists(self.value(self.inner()))
        else:
            self.at -= 1
            self.fail()
        steps: list[PathStep] = []
        while (step := self.step()) is not None:
            steps.append(step)
        return PathChain(head, tuple(steps)) if steps else head

    def enter(self) -> None:
        """Count a level of nesting. Raises PathNotSupported for too many."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise PathNotSupported(f"a jsonpath with more than {_MAX_DEPTH} levels is not supported")

    def inner(self) -> PathNode:
        """What is between brackets, of which the first is read."""
        self.enter()
        node = self.disjunction()
        self.expect(")")
        self.depth -= 1
        return node

    def step(self) -> PathStep | None:
        """An accessor; None where none follows."""
        if self.take("?"):
            self.expect("(")
            self.in_filter += 1
            condition = self.predicate(self.inner())
            self.in_filter -= 1
            return FilterStep(condition)
        if self.take("["):
            return self.subscripts()
        if not self.take("."):
            return None
        if self.take("*"):
            return MemberStep(None)
        if self.take("**"):
            return self.levels()
        token = self.token
        if token.kind not in ("word", "string"):
            self.fail()
        self.at += 1
        return (
            self.method(token.text.lower())
            if token.kind == "word" and self.take("(")
            else MemberStep(token.text)
        )

    def method(self, name: str) -> PathStep:
        """A method whose name and opening bracket are read."""
        if name in _MISSING_METHODS:
            raise PathNotSupported(f".{name}() in jsonpath is not supported")
        if name not in _METHODS:
            self.at -= 1
            self.fail()
        self.expect(")")
        return MethodStep(name)

    def subscripts(self) -> PathStep:
        """``[*]`` or ``[0, 2 to last]``, whose opening bracket is read."""
        if self.take("*"):
            self.expect("]")
            return ItemsStep()
        self.enter()
        self.in_subscript += 1
        ranges: list[tuple[PathNode, PathNode | None]] = []
        while True:
            first = self.value(self.disjunction())
            ranges.append((first, self.value(self.disjunction()) if self.take_word("to") else None))
            if not self.take(","):
                break
        self.in_subscript -= 1
        self.depth -= 1
        self.expect("]")
        return SubscriptStep(tuple(ranges))

    def levels(self) -> PathStep:
        """What follows ``**``."""
        if not self.take("{"):
            return DescendStep(0, LAST)
        first = self.level()
        last = self.level() if self.take_word("to") else first
        self.expect("}")
        return DescendStep(first, last)

    def level(self) -> int:
        """A level of ``**``."""
        if self.take_word("last"):
            return LAST
        number = self.token.number
        if number is None or number != int(number) or number >= LAST:
            self.fail()
        self.at += 1
        return int(number)


def _regex(pattern: str, flags: str) -> str:
    """A pattern of like_regex with its flags in RE2's notation. Raises PathSyntaxError, PathNotSupported."""
    unknown = set(flags) - set("ismxq")
    if unknown:
        raise PathSyntaxError(f"unrecognized flag character '{min(unknown)}' in like_regex of jsonpath")
    if "x" in flags and "q" not in flags:
        raise PathNotSupported("the flag x of like_regex in jsonpath is not supported")
    folded = "i" in flags
    if "q" in flags:
        return f"(?{'i' if folded else ''}s)" + re.escape(pattern)
    if _DIFFERENT.search(pattern):
        raise PathNotSupported(f"the pattern '{pattern[:40]}' of like_regex in jsonpath is not supported")
    options = "".join(flag for flag in "ism" if flag in flags)
    converted = postgres_regex(pattern, fold=folded, lines="s" not in flags)
    regex = f"(?{options}){converted}" if options else converted
    try:
        pc.match_substring_regex(pa.array([""]), regex)
    except pa.ArrowInvalid:
        raise PathSyntaxError(f"invalid regular expression in jsonpath: '{pattern[:40]}'") from None
    return regex
