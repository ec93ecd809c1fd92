"""What sqlglot leaves as words: SHOW, RESET, and a SET that is wrong."""

from __future__ import annotations

from nestvec.milvus.steps import Steps
from nestvec.sql.answer import StatementResult
from nestvec.sql.bind.params import Params
from nestvec.sql.parse.parse import Parsed
from nestvec.sql.session import Session
from nestvec.sql.statements.settings import run_reset, run_set
from nestvec.sql.statements.show import run_show

_RUNS = {"SHOW": run_show, "RESET": run_reset, "SET": run_set}


def run_keyword_command(session: Session, parsed: Parsed, params: Params) -> Steps[StatementResult]:
    """Run by the first word. Raises SqlNotSupported for a form that is not read, else what each raises."""
    word = parsed.source.tokens[0].text.upper()
    run = _RUNS.get(word)
    if run is None:
        raise parsed.source.not_supported(f"{word} of this form", 0, "Correct the SQL.")
    return (yield from run(session, parsed, params))
