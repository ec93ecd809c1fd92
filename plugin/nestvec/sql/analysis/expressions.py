"""Types of expressions, and of the parameters in them: each operator and call says what it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlglot import exp

from nestvec.sql.analysis.casts import cast_oid
from nestvec.sql.analysis.nodes import (
    OPERATORS,
    array_name,
    called,
    is_named,
    literal_type,
    number_of,
    quantified,
    type_name,
)
from nestvec.sql.analysis.signatures import UNKNOWN, UNTYPED, common_type, resolve
from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.function_types import CALL
from nestvec.sqltypes import oids

_MOMENTS: Final = {
    exp.CurrentTimestamp: "timestamptz", exp.CurrentDate: "date", exp.CurrentTime: "time",
    exp.Localtimestamp: "timestamp", exp.Localtime: "time", exp.Interval: "interval", exp.Exists: "bool",
}  # fmt: skip
_OF_ANY: Final = ("concat", "concat_ws", "format", "num_nulls", "num_nonnulls")
"""Functions of values of any types, of which a parameter has none."""
_LOGICAL: Final = (exp.And, exp.Or, exp.Xor, exp.Not)


class Expressions:
    """The types of the expressions of one statement, by PostgreSQL's names of types."""

    def __init__(self, declared: Sequence[int], *, strict: bool = True) -> None:
        self.types = {
            number: oids.BY_OID[oid].name
            for number, oid in enumerate(declared, 1)
            if oid in oids.BY_OID and oids.BY_OID[oid].name != UNKNOWN
        }
        """Those of the parameters that are known so far."""
        self.numbers = set[int](range(1, len(declared) + 1))
        self.declared = frozenset(self.types)
        self._undetermined = set[int]()
        self.strict = strict
        self._unknown = set[int]()
        """The ids of nodes of parameters that had no type when they were reached."""
        self._by_kind = self._handlers()

    def type_of(self, node: Any) -> str:
        """The type of an expression; what it says of parameters is noted."""
        if not isinstance(node, exp.Expr):
            return UNTYPED
        if isinstance(node, PARAMETER_NODES):
            return self.of_parameter(node)
        handler = self._by_kind.get(type(node))
        if handler is not None:
            return handler(node)
        operator = OPERATORS.get(type(node))
        if operator is not None and (CALL not in node.meta or isinstance(node, exp.Mod)):
            return self.of_operator(operator, node.this, node.expression)
        if isinstance(node, exp.Func) or is_named(node) or CALL in node.meta:
            return self._of_call(node)
        return self.of_other(node)

    def coerce(self, node: Any, type_: str) -> None:
        """A place where an expression has a type, which a parameter there takes."""
        while isinstance(node, (exp.Paren, exp.Alias)):
            node = node.this
        number = number_of(node)
        if not number or type_ in (UNKNOWN, UNTYPED):
            return
        before = self.types.setdefault(number, type_)
        if before != type_ and self.strict and id(node) in self._unknown:
            self.inconsistent(number, before, type_)

    def condition(self, node: Any, place: str = "") -> None:
        """An expression that is true or false."""
        if not isinstance(node, exp.Expr):
            return
        own = self.type_of(node)
        if own == UNKNOWN:
            self.coerce(node, "bool")
        self.placed(node, own, "bool", place)

    def target_of(self, cast: exp.Cast) -> str:
        """The type that a cast names."""
        return type_name(cast_oid(cast.args.get("to")))

    def settle(self, node: Any, type_: str) -> str:
        """An expression in a place of this type, which one without a type takes."""
        own = self.type_of(node)
        if own == UNKNOWN:
            self.coerce(node, type_)
        return own

    def of_column(self, node: exp.Column) -> str:
        """The type of a column; UNTYPED here, where there are no tables."""
        return UNTYPED

    def of_query(self, node: exp.Expr) -> str:
        """The type of a query's first column; UNTYPED here."""
        return self.of_other(node)

    def of_distance(self, node: VectorDistance) -> str:
        """A distance of two vectors."""
        return self.of_operator(str(node.args.get("operator")), node.this, node.expression)

    def of_other(self, node: exp.Expr) -> str:
        """An expression of which nothing is known: its parts may be."""
        for child in node.iter_expressions():
            self.type_of(child)
        return UNTYPED

    def of_operator(self, operator: str, left: Any, right: Any) -> str:
        """The type of an operation, whose operands take the types that it needs."""
        array = quantified(right)
        if array is not None:
            return self._of_each(operator, left, array)
        if isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple):
            for pair in zip(left.expressions, right.expressions, strict=False):
                self.of_operator(operator, *pair)
            return "bool"
        types = [self.type_of(left), self.type_of(right)]
        chosen = resolve("operators", operator, tuple(types))
        if chosen is None:
            if operator == "+" and types == ["date", UNKNOWN]:
                self.coerce(right, "interval")  # PostgreSQL refuses it, since it may be a number, too
                return "timestamp"
            self.no_operator(operator, (left, right), types)
            return UNTYPED
        for operand, type_, own in zip((left, right), chosen.arguments, types, strict=True):
            if own == UNKNOWN:
                self.coerce(operand, type_)
        return chosen.result

    def inconsistent(self, number: int, before: str, type_: str) -> None:
        """A parameter that had another type in another place."""

    def no_operator(self, operator: str, operands: Sequence[Any], types: Sequence[str]) -> None:
        """An operation that no operator of the catalog is chosen for."""

    def no_function(self, node: exp.Expr, name: str, types: Sequence[str]) -> None:
        """A call that no function of the catalog is chosen for."""

    def united(self, construct: str, nodes: Sequence[Any], types: Sequence[str], common: str) -> None:
        """Values that become one of a common type, or have none."""

    def converted(self, node: exp.Expr, own: str, target: str) -> None:
        """A cast."""

    def placed(self, node: Any, own: str, type_: str, place: str) -> None:
        """An expression in a clause that takes values of a type."""

    def assigned(self, node: Any, own: str, type_: str, column: str) -> None:
        """A value that is written into a column."""

    def subscripted(self, node: exp.Bracket, own: str) -> None:
        """A value of which an element is read."""

    def common(self, nodes: Sequence[Any], construct: str = "") -> str:
        """The type that several expressions have in common, which those without a type take."""
        types = [self.type_of(node) for node in nodes]
        common = common_type(types)
        self.united(construct, nodes, types, common)
        common = "text" if common == UNKNOWN else common
        for node, type_ in zip(nodes, types, strict=True):
            if type_ == UNKNOWN:
                self.coerce(node, common)
        return common

    def _handlers(self) -> dict[type[exp.Expr], Callable[[Any], str]]:
        return {
            exp.Paren: lambda node: self.type_of(node.this),
            exp.Neg: lambda node: self.type_of(node.this),
            exp.Alias: lambda node: self.type_of(node.this),
            exp.Distinct: lambda node: self.type_of(node.expressions[0]) if node.expressions else UNTYPED,
            exp.Literal: literal_type,
            exp.Null: lambda _: UNKNOWN,
            exp.Boolean: lambda _: "bool",
            exp.Cast: self._of_cast,
            exp.TryCast: self._of_cast,
            exp.Column: self.of_column,
            exp.Subquery: self.of_query,
            exp.Select: self.of_query,
            exp.Union: self.of_query,
            exp.Intersect: self.of_query,
            exp.Except: self.of_query,
            VectorDistance: self.of_distance,
            exp.In: self._of_in,
            exp.Between: self._of_between,
            exp.Case: self._of_case,
            exp.Coalesce: lambda node: self.common([node.this, *node.expressions], "COALESCE"),
            exp.Greatest: lambda node: self.common([node.this, *node.expressions], "GREATEST"),
            exp.Least: lambda node: self.common([node.this, *node.expressions], "LEAST"),
            exp.Nullif: self._of_nullif,
            exp.Array: self._of_array,
            exp.Bracket: self._of_bracket,
            exp.Is: self._of_is,
            exp.Window: self._of_window,
            exp.WithinGroup: self._of_group,
            exp.Filter: self._of_filter,
            exp.Extract: self._of_part,
            exp.Escape: lambda node: self.type_of(node.this),
            exp.SimilarTo: lambda node: self.of_operator("~", node.this, node.expression),
            exp.Star: lambda _: UNTYPED,
            **dict.fromkeys(_LOGICAL, self._of_logical),
            **dict.fromkeys(_MOMENTS, self._of_moment),
        }

    def of_parameter(self, node: exp.Expr) -> str:
        """The type of a parameter, as far as it is known."""
        number = number_of(node)
        if not number:
            return UNTYPED
        self.numbers.add(number)
        type_ = self.types.get(number, UNKNOWN)
        if type_ == UNKNOWN:
            self._unknown.add(id(node))
        return type_

    def _of_cast(self, node: exp.Cast) -> str:
        target = self.target_of(node)
        if isinstance(node.this, exp.Array) and target.startswith("_"):
            for item in node.this.expressions:
                self.converted(item, self.settle(item, target[1:]), target[1:])
        else:
            self.converted(node, self.settle(node.this, target), target)
        return target

    def _of_moment(self, node: exp.Expr) -> str:
        self.of_other(node)
        return _MOMENTS[type(node)]

    def _of_logical(self, node: exp.Expr) -> str:
        # A chain of thousands is not followed by recursion.
        place = "AND" if isinstance(node, exp.And) else "OR" if isinstance(node, exp.Or) else "NOT"
        stack = [node]
        while stack:
            current = stack.pop()
            for child in reversed(list(current.iter_expressions())):
                if isinstance(child, (*_LOGICAL, exp.Paren)) and not isinstance(child, exp.Subquery):
                    stack.append(child)
                else:
                    self.condition(child, place)
        return "bool"

    def _of_in(self, node: exp.In) -> str:
        query = node.args.get("query")
        if query is not None:
            left, right = self.type_of(node.this), self.type_of(query)
            chosen = resolve("operators", "=", (left, right))
            if chosen is not None and left == UNKNOWN:
                self.coerce(node.this, chosen.arguments[0])
        elif node.args.get("field") is not None:
            self.coerce(node.args["field"], array_name(self.type_of(node.this)))
            self.type_of(node.args["field"])
        elif len(node.expressions) == 1 and not isinstance(node.this, exp.Tuple):
            self.of_operator("=", node.this, node.expressions[0])
        elif isinstance(node.this, exp.Tuple):
            rows = [node.this.expressions, *(row.expressions for row in node.expressions)]
            for values in zip(*rows, strict=False):
                self.common(values)
        else:
            self.common([node.this, *node.expressions])
        return "bool"

    def _of_between(self, node: exp.Between) -> str:
        self.of_operator(">=", node.this, node.args["low"])
        self.of_operator("<=", node.this, node.args["high"])
        return "bool"

    def _of_case(self, node: exp.Case) -> str:
        branches = node.args["ifs"]
        for branch in branches:
            if node.this is not None:
                self.settle(node.this, "text")
                self.of_operator("=", node.this, branch.this)
            else:
                self.condition(branch.this, "CASE/WHEN")
        default = node.args.get("default")
        return self.common(
            [*([] if default is None else [default]), *(each.args["true"] for each in branches)], "CASE"
        )

    def _of_nullif(self, node: exp.Nullif) -> str:
        self.of_operator("=", node.this, node.expression)
        return self.type_of(node.this)

    def _of_array(self, node: exp.Array) -> str:
        items = node.expressions
        if len(items) == 1 and isinstance(items[0], exp.Query):
            return array_name(self.of_query(items[0]))
        return array_name(self.common(items, "ARRAY")) if items else UNTYPED

    def _of_bracket(self, node: exp.Bracket) -> str:
        type_ = self.type_of(node.this)
        self.subscripted(node, type_)
        of_json = type_ == "jsonb"
        slices = [each for each in node.expressions if isinstance(each, exp.Slice)]
        for item in node.expressions:
            for bound in item.iter_expressions() if isinstance(item, exp.Slice) else [item]:
                own = self.settle(bound, "text" if of_json else "int4" if type_.startswith("_") else UNTYPED)
                self.placed(bound, own, "text" if of_json else "int4", "a subscript")
        if of_json or slices:
            return type_
        return type_.removeprefix("_") if type_.startswith("_") else UNTYPED

    def _of_is(self, node: exp.Is) -> str:
        if isinstance(node.expression, exp.Boolean):
            self.condition(node.this, "IS TRUE")
        elif self.type_of(node.this) == UNKNOWN:
            self._undetermined.add(number_of(node.this))
        return "bool"

    def untyped(self) -> int:
        """The first parameter whose type nothing tells, though it must be known; 0 for none."""
        count = max(self.numbers, default=0)
        missing = {*range(1, count + 1)} - self.numbers | self._undetermined - self.types.keys() - {0}
        return min(missing, default=0)

    def _of_window(self, node: exp.Window) -> str:
        type_ = self.type_of(node.this)
        for part in (*node.args.get("partition_by", ()), node.args.get("order")):
            self.type_of(part)
        spec = node.args.get("spec")
        bounds = [] if spec is None else [spec.args.get("start"), spec.args.get("end")]
        for bound in bounds:
            self.settle(bound, "int8")
        return type_

    def _of_group(self, node: exp.WithinGroup) -> str:
        """``percentile_cont(0.5) WITHIN GROUP (ORDER BY x)``: its arguments are those of both lists."""
        keys = [each.this if isinstance(each, exp.Ordered) else each for each in node.expression.expressions]
        return self._of_arguments(node.this, *called(node.this), keys)

    def _of_filter(self, node: exp.Filter) -> str:
        type_ = self.type_of(node.this)
        where = node.expression
        self.condition(where.this if isinstance(where, exp.Where) else where, "FILTER")
        return type_

    def _of_part(self, node: exp.Extract) -> str:
        if isinstance(node.this, exp.Var):
            self.type_of(node.expression)
            return "numeric"
        return self._of_call(node)

    def _of_each(self, operator: str, left: Any, array: exp.Expr) -> str:
        """``x = ANY (array)``, or of a query."""
        types = [self.type_of(left), self.type_of(array)]
        elements = types[1] if isinstance(array, exp.Query) else types[1].removeprefix("_")
        chosen = resolve("operators", operator, (types[0], elements))
        if chosen is not None:
            if types[0] == UNKNOWN:
                self.coerce(left, chosen.arguments[0])
            if types[1] == UNKNOWN:
                self.coerce(array, array_name(chosen.arguments[1]))
        return "bool"

    def _of_call(self, node: exp.Expr) -> str:
        name, arguments = called(node)
        for part in ("order", "where"):
            self.type_of(node.args.get(part))
        return self._of_arguments(node, name, arguments)

    def _of_arguments(
        self, node: exp.Expr, name: str, arguments: Sequence[exp.Expr], keys: Sequence[exp.Expr] = ()
    ) -> str:
        arguments = [*arguments, *keys]
        types = [self.type_of(argument) for argument in arguments]
        chosen = resolve("functions", name, tuple(types))
        if chosen is None:
            self.no_function(node, name, types)
            return UNTYPED
        for argument, type_, own in zip(arguments, chosen.arguments, types, strict=True):
            if own == UNKNOWN:
                self.coerce(argument, type_)
            if own == UNKNOWN and type_ == UNTYPED and name in _OF_ANY:
                self._undetermined.add(number_of(argument))
        return chosen.result
