"""Statements that PostgreSQL refuses for the types of their expressions, by its catalogs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.sql.analysis.casts import known_oid
from nestvec.sql.analysis.constants import check_constant
from nestvec.sql.analysis.nodes import has_all_arguments, shown_type, type_name
from nestvec.sql.analysis.signatures import (
    UNKNOWN,
    UNTYPED,
    VECTORS,
    converts,
    is_assigned,
    is_cast,
    signatures,
    takes,
)
from nestvec.sql.analysis.statements import Columns, Statements
from nestvec.sql.parse.dialect import Rerank, VectorDistance
from nestvec.sql.parse.source import SourceText, identifier_name, without_parens
from nestvec_schemas.base_error import ABSENT

_UNCLEAR: Final = frozenset({UNKNOWN, UNTYPED})
_AMBIGUOUS: Final = "?ambiguous"
"""The type of a name of several columns of a query."""
_CAST: Final = "Cast an operand, for example (meta->>'year')::int or year::text."


class StatementCheck(Statements):
    """Raises SqlTypeMismatch for operators, functions and casts that PostgreSQL does not have.

    What has no type here is never refused: parameters, and columns of files and other tables.
    """

    def __init__(self, source: SourceText, tables: Iterable[Table]) -> None:
        super().__init__(tables, strict=False)
        self._text = source
        self._merged = set[str]()
        """The columns that USING makes one of several tables."""

    def check(self, tree: exp.Expr) -> None:
        """Check a whole statement."""
        try:
            self.statement(tree)
        except RecursionError:
            return  # running it says so

    def type_of(self, node: Any) -> str:
        return UNTYPED if isinstance(node, Rerank) else super().type_of(node)

    def target_of(self, cast: exp.Cast) -> str:
        return type_name(known_oid(cast.args.get("to")))

    def of_column(self, node: exp.Column) -> str:
        if not isinstance(node.this, exp.Identifier):
            return UNTYPED
        name, table = identifier_name(node.this), node.args.get("table")
        label = identifier_name(table) if table is not None else ""
        for scope in reversed(self._scopes):
            if label and label in scope:
                return self._of_name(node, scope[label].get(name, UNTYPED))
            types = [] if label else [columns[name] for columns in scope.values() if name in columns]
            if types:
                return self._of_name(node, types[0])
            if not label and not all(scope.values()):
                return UNTYPED  # a relation whose columns are not known here may have it
        return UNTYPED

    def _of_name(self, node: exp.Column, type_: str) -> str:
        if type_ == _AMBIGUOUS:
            raise self._text.unknown_name(
                "several columns of the query have this name", node.name, node, "Give them other names."
            )
        return type_

    def of_distance(self, node: VectorDistance) -> str:
        self.of_other(node)
        return "float8"

    def of_parameter(self, node: exp.Expr) -> str:
        return UNTYPED

    def coerce(self, node: Any, type_: str) -> None:
        while isinstance(node, (exp.Paren, exp.Alias)):
            node = node.this
        if isinstance(node, exp.Literal) and node.is_string:
            check_constant(self._text, node, type_)

    def write_constant(self, node: Any, type_: str) -> None:
        if type_.startswith("_"):
            self.coerce(node, type_)  # other errors name the column

    def no_operator(self, operator: str, operands: Sequence[Any], types: Sequence[str]) -> None:
        if _takes("operators", operator, types) or not _is_clear(types):
            return
        shown = f"{_shown(types[0])} {operator} {_shown(types[1])}"
        raise self._text.type_mismatch(f"operator does not exist: {shown}", ABSENT, operands[0], _CAST)

    def no_function(self, node: exp.Expr, name: str, types: Sequence[str]) -> None:
        direct = len(types) - (1 if isinstance(node.parent, exp.WithinGroup) else 0)
        if not has_all_arguments(node, direct) or not signatures("functions", name):
            return
        if _takes("functions", name, types) or not _is_clear(types):
            return
        shown = f"{name}({', '.join(map(_shown, types))})"
        raise self._text.type_mismatch(f"function {shown} does not exist", ABSENT, node, _CAST)

    def united(self, construct: str, nodes: Sequence[Any], types: Sequence[str], common: str) -> None:
        clear = [type_ for type_ in types if type_ != UNKNOWN]
        if not construct or UNTYPED in clear or not _is_clear(clear):
            return
        target = common or clear[0]
        at = next((place for place, type_ in enumerate(types) if not _is_united(type_, target)), None)
        if at is None:
            return
        if common:
            cause = f"{construct} could not convert type {shown_type(types[at])} to {shown_type(common)}"
        else:
            cause = f"{construct} types {shown_type(target)} and {shown_type(types[at])} cannot be matched"
        raise self._text.type_mismatch(cause, ABSENT, nodes[at], "Cast one of them.")

    def read_source(self, node: Any, scope: dict[str, Columns]) -> None:
        super().read_source(node, scope)
        query = node.unnest() if isinstance(node, exp.Subquery) else None
        if isinstance(query, exp.Select) and not node.alias_column_names:
            label = next(reversed(scope))
            names = Counter(item.alias_or_name for item in query.expressions if not item.is_star)
            repeated = {name: _AMBIGUOUS for name, count in names.items() if name and count > 1}
            scope[label] = {**scope[label], **repeated}

    def joined(self, join: exp.Join, scope: Mapping[str, Columns]) -> None:
        names = {identifier_name(each) for each in join.args.get("using") or ()}
        *before, own = scope.values()
        if not all(scope.values()):
            return
        for name in names:
            holders = sum(name in columns for columns in before)
            if holders > 1 and name not in self._merged:
                raise self._text.unknown_name(
                    "several tables before JOIN have a column of this name", name, join.this, "Write ON."
                )
        self._merged |= names
        if join.method:
            self._merged |= own.keys()

    def converted(self, node: exp.Expr, own: str, target: str) -> None:
        if not _UNCLEAR.isdisjoint((own, target)) or is_cast(own, target) or _is_vector(own, target):
            return
        cause = f"cannot cast type {shown_type(own)} to {shown_type(target)}"
        raise self._text.type_mismatch(cause, ABSENT, node, "Cast it to another type first.")

    def placed(self, node: Any, own: str, type_: str, place: str) -> None:
        if not place or own in _UNCLEAR or own == type_ or (type_ != "bool" and is_assigned(own, type_)):
            return
        cause = f"argument of {place} must be type {shown_type(type_)}, not type {shown_type(own)}"
        raise self._text.type_mismatch(cause, ABSENT, without_parens(node), _CAST)

    def assigned(self, node: Any, own: str, type_: str, column: str) -> None:
        if not _UNCLEAR.isdisjoint((own, type_)) or is_assigned(own, type_) or _is_vector(own, type_):
            return
        cause = f"column {column} is of type {shown_type(type_)} but expression is of type {shown_type(own)}"
        raise self._text.type_mismatch(cause, ABSENT, node, "Cast the expression to the column's type.")

    def subscripted(self, node: exp.Bracket, own: str) -> None:
        if own in _UNCLEAR or own.startswith("_") or own == "jsonb":
            return
        cause = f"cannot subscript type {shown_type(own)} because it does not support subscripting"
        raise self._text.type_mismatch(cause, ABSENT, node, "Read an element of an array or of JSONB.")


def _takes(kind: str, name: str, types: Sequence[str]) -> bool:
    """Whether there is such an operator or function, for texts too: Milvus's VARCHAR is also TEXT."""
    texts = [type_.replace("varchar", "text") for type_ in types]
    return takes(kind, name, types) or takes(kind, name, texts)


def _is_clear(types: Sequence[str]) -> bool:
    """Whether PostgreSQL's catalogs say all about these types: pgvector's later versions have more."""
    return not any(type_.removeprefix("_") in VECTORS for type_ in types) and any(
        type_ not in _UNCLEAR for type_ in types
    )


def _is_united(type_: str, target: str) -> bool:
    return type_ == UNKNOWN or converts(type_, target)


def _is_vector(own: str, target: str) -> bool:
    """Whether one of two types is a vector, and the other what pgvector converts."""
    if "vector" in (own, target):
        other = target if own == "vector" else own
        return other.startswith("_") or other in VECTORS
    return own in VECTORS or target in VECTORS


def _shown(type_: str) -> str:
    return shown_type(type_) or UNKNOWN
