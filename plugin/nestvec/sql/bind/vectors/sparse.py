"""Targets of SPARSE_FLOAT_VECTOR columns that a sparse encoder fills: the weights of a text's words."""

from __future__ import annotations

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.vectors.embed import bind_embed, is_embed, query_coding
from nestvec.sql.bind.vectors.targets import Embedded, check_text, given_text
from nestvec.sql.parse.construct_names import words


def bind_words(scope: Scope, column: Column, node: exp.Expr) -> Embedded:
    """A text whose words the column's service weighs. Raises SqlTypeMismatch, SqlNotSupported."""
    if is_embed(node):
        found = bind_embed(scope, column, node)
        return Embedded(found.text, found.coding, "sparse")
    text = given_text(scope, node)
    if text is None:
        raise scope.source.not_supported(
            f"a distance of words' weights to {words(node)}", node, "Write a text in single quotes."
        )
    return Embedded(check_text(scope, text, node), query_coding(scope, column, node), "sparse")
