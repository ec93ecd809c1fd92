"""Functions of texts and arrays: format(), quote_nullable(), string_to_table()."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.casts import item_texts, rewrite_cast
from nestvec.sql.relational.rewrites.nodes import TEXT_TYPES, Rule, call, is_text_constant, is_vector, kind
from nestvec.sql.relational.rewrites.texts import rewrite_concat
from nestvec_schemas.errors import SqlDataError, SqlNotSupported

_SPECIFIER: Final = re.compile(
    r"%(?:%|(?:(?P<place>[0-9]+)\$)?(?P<flag>-?)(?P<width>[0-9]*)(?P<kind>[sIL])|(?P<other>.?))", re.DOTALL
)

_MAX_WIDTH: Final = 1 << 20
"""The longest text that lpad() makes, too."""


def formatted(node: exp.Format) -> exp.Expr:
    """``format('%s: %I', a, b)``: DuckDB's function of this name has another notation."""
    template, arguments = node.this, list(node.expressions)
    if not is_text_constant(template):
        raise SqlNotSupported(
            "format() with a computed template is not supported", next_step="Join texts with ||."
        )
    parts: list[exp.Expr] = []
    end, following = 0, 0
    for match in _SPECIFIER.finditer(template.name):
        if match.start() > end:
            parts.append(exp.Literal.string(template.name[end : match.start()]))
        end = match.end()
        if match["other"] is not None:
            raise SqlNotSupported(
                f"{match[0][:20]} in format() is not supported", next_step="Use %s, %I, %L and %%."
            )
        if match["kind"] is None:
            parts.append(exp.Literal.string("%"))
            continue
        following = int(match["place"]) if match["place"] else following + 1
        if following == 0:
            raise SqlDataError(
                "format specifies argument 0, but arguments are numbered from 1",
                next_step="Write %1$s for the first.",
            )
        if following > len(arguments):
            raise SqlDataError("too few arguments for format()", next_step="Pass a value for each %s.")
        parts.append(_formatted(arguments[following - 1], match))
    if end < len(template.name):
        parts.append(exp.Literal.string(template.name[end:]))
    if not parts:
        return exp.Literal.string("")
    return exp.Concat(expressions=parts, safe=True, coalesce=True)


def joined_items(node: exp.ArrayToString) -> exp.Expr:
    """``array_to_string(array, ',')``, whose items are texts as casts write them."""
    array = node.this
    if kind(array) == exp.DType.ARRAY and not is_vector(array) and not isinstance(array.unnest(), exp.Null):
        node.set("this", item_texts(array))
    if node.args.get("null") is None and not isinstance(array.unnest(), exp.Null):
        # DuckDB joins NULLs alone to NULL.
        return call("pg_joined_texts", node.this, node.expression)
    return node


def quoted(node: exp.Anonymous) -> exp.Expr:
    """``quote_literal(x)`` of the text that a cast writes."""
    value = node.expressions[0]
    if is_text_constant(value) or kind(value) in (None, *TEXT_TYPES):
        return node
    return call("quote_literal", rewrite_cast(exp.cast(value.copy(), "text")))


def _formatted(value: exp.Expr, match: re.Match[str]) -> exp.Expr:
    if kind(value) == exp.DType.ARRAY:
        raise SqlNotSupported("format() of an array is not supported", next_step="Write array_to_string().")
    # As concat() writes it, which has no NULL.
    plain = rewrite_concat(exp.Concat(expressions=[value.copy()], safe=True, coalesce=True))
    text: exp.Expr = plain
    if match["kind"] == "L":
        text = call("pg_quoted_or_null", value, plain)
    elif match["kind"] == "I":
        text = call("pg_format_ident", value, plain)
    width = int(match["width"] or 0)
    if not width:
        return text
    if width > _MAX_WIDTH:
        raise SqlDataError(
            "requested length too large", value=str(width), next_step=f"Use at most {_MAX_WIDTH:,}."
        )
    return call("pg_in_width", text, exp.Literal.number(width), exp.Boolean(this=match["flag"] == "-"))


def quoted_or_null(node: exp.Anonymous) -> exp.Expr:
    """``quote_nullable(value)``."""
    value = node.expressions[0]
    plain = rewrite_concat(exp.Concat(expressions=[value.copy()], safe=True, coalesce=True))
    return call("pg_quoted_or_null", value, plain)


def split_texts(node: exp.StringToArray) -> exp.Expr:
    """``string_to_array(text, delimiter, null)``."""
    array = call("pg_string_to_array", node.this, node.expression)
    null = node.args.get("null")
    return array if null is None else call("pg_with_nulls", array, null)


def split_to_rows(node: exp.Anonymous) -> exp.Expr:
    """``string_to_table(text, delimiter, null)``."""
    text, delimiter, *null = node.expressions
    array: exp.Expr = call("pg_string_to_array", text, delimiter)
    if null:
        array = call("pg_with_nulls", array, null[0])
    return array if isinstance(node.parent, exp.Unnest) else exp.Explode(this=array)


def filled(node: exp.Anonymous) -> exp.Expr:
    """``array_fill(x, ARRAY[n])``. Raises SqlNotSupported for a NUMERIC, whose places would be lost."""
    if kind(node.expressions[0]) == exp.DType.DECIMAL:
        raise SqlNotSupported("array_fill() of a NUMERIC is not supported", next_step="Write 1.5::float8.")
    return node


def subscripts(node: exp.Anonymous) -> exp.Expr:
    """``generate_subscripts(array, 1)``."""
    array, dimension, *reverse = node.expressions
    if reverse or not isinstance(dimension, exp.Literal) or dimension.name != "1":
        raise SqlNotSupported(
            "generate_subscripts() of another dimension, or in reverse, is not supported", next_step="Use 1."
        )
    numbers = call("pg_subscripts", array)
    return numbers if isinstance(node.parent, exp.Unnest) else exp.Explode(this=numbers)


def counted(*, nulls: bool) -> Rule:
    """``num_nulls(…)`` and ``num_nonnulls(…)``."""

    def number(node: exp.Anonymous) -> exp.Expr:
        total: exp.Expr = exp.Literal.number(0)
        for value in node.expressions:
            is_null = exp.Is(this=exp.paren(value.copy()), expression=exp.Null())
            test = is_null if nulls else exp.Not(this=is_null)
            counts = exp.Case(
                ifs=[exp.If(this=test, true=exp.Literal.number(1))], default=exp.Literal.number(0)
            )
            total = exp.Add(this=total, expression=counts)
        return exp.cast(exp.paren(total), "int")

    return number


def normalized(node: exp.Normalize) -> exp.Expr:
    """``normalize(text, NFKC)``; the form is NFC where none is written."""
    word = node.args.get("form")
    form = word.name.upper() if isinstance(word, exp.Expr) else "NFC"
    if form not in ("NFC", "NFD", "NFKC", "NFKD"):
        raise SqlNotSupported(
            f"the form {form[:20]} of normalize() is not supported", next_step="Use NFC, NFD, NFKC or NFKD."
        )
    return call("pg_normalized", node.this, exp.Literal.string(form))
