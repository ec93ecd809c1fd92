"""Targets of SPARSE_FLOAT_VECTOR columns that a sparse encoder fills: the weights of a text's words."""

from __future__ import annotations

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.vectors.embed import bind_embed, is_embed, query_request
from nestvec.sql.bind.vectors.targets import EmbeddedText, check_text, text_constant
from nestvec.sql.parse.construct_names import construct_name


def bind_sparse(scope: Scope, column: Column, node: exp.Expr) -> EmbeddedText:
    """A text whose words the column's service weighs. Raises SqlTypeMismatch, SqlNotSupported."""
    if is_embed(node):
        embedded = bind_embed(scope, column, node)
        return EmbeddedText(embedded.text, embedded.coding, "sparse")
    text = text_constant(scope, node)
    if text is None:
        raise scope.source.not_supported(
            f"a distance of words' weights to {construct_name(node)}", node, "Write a text in single quotes."
        )
    return EmbeddedText(check_text(scope, text, node), query_request(scope, column, node), "sparse")
