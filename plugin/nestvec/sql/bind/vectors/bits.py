"""Targets of BINARY_VECTOR columns: codes of bits, which no function of Milvus makes of a text."""

from __future__ import annotations

import re

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.vectors.embed import bind_embed, is_embed, query_request
from nestvec.sql.bind.vectors.targets import EmbeddedText, check_text, text_constant
from nestvec.sql.parse.construct_names import construct_name

_CODE = re.compile("[01]+")


def bind_bits(scope: Scope, column: Column, node: exp.Expr) -> bytes | EmbeddedText:
    """Bits written out (``'0110…'``), bytes in a parameter, or a text whose code the column's service makes.

    Raises SqlTypeMismatch, SqlNotSupported.
    """
    source, dim = scope.source, column.dim or 0
    if is_embed(node):
        embedded = bind_embed(scope, column, node)
        return EmbeddedText(embedded.text, embedded.coding, "binary")
    if isinstance(node, PARAMETER_NODES):
        value = scope.params.value(source, node)
        if isinstance(value, (bytes, bytearray)):
            if len(value) * 8 != dim:
                raise source.type_mismatch(
                    f"column {column.name} has {dim} bits", f"{len(value) * 8} bits", node, "Give as many."
                )
            return bytes(value)
    text = text_constant(scope, node)
    if text is None:
        raise source.not_supported(
            f"a distance of bits to {construct_name(node)}", node, "Write a text, or '0110…'."
        )
    if _CODE.fullmatch(text) and len(text) == dim:
        return int(text, 2).to_bytes(dim // 8, "big")
    return EmbeddedText(check_text(scope, text, node), query_request(scope, column, node), "binary")
