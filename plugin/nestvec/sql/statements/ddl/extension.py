"""CREATE EXTENSION and DROP EXTENSION: what pgvector's extension adds is there already."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.milvus.steps import Steps
from nestvec.sql.bind.params import Params
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session

_BUILT_IN: Final = ("vector",)


def run_extension(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """Accept the extension ``vector``, and do nothing. Raises SqlNotSupported for another."""
    yield from ()
    name = parsed.tree.args["expression"]
    if not isinstance(name, exp.Identifier) or str(name.this).lower() not in _BUILT_IN:
        raise parsed.source.not_supported(
            f"the extension {str(name.this)[:40]}", name, f"Built in: {', '.join(_BUILT_IN)}."
        )
    return StatementResult(tag=f"{parsed.tree.this} EXTENSION")
