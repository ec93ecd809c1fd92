"""``\\if``, ``\\elif``, ``\\else`` and ``\\endif``: parts of a script that are passed over."""

from __future__ import annotations

from typing import Final

from nestvec.shell.state import Branch, ShellState
from nestvec.shell.variables import parse_boolean, words
from nestvec_schemas.errors import SqlSyntaxError

COMMANDS: Final = ("\\if", "\\elif", "\\else", "\\endif")


def is_active(shell: ShellState) -> bool:
    """Whether the next statement runs."""
    return not shell.script.branches or shell.script.branches[-1].active


def begin_branch(shell: ShellState, argument: str) -> None:
    """``\\if EXPRESSION``. Raises SqlSyntaxError for anything but a boolean."""
    outer = is_active(shell)
    # In a part that is passed over, the expression is not looked at.
    shell.script.branches.append(Branch(outer, matched=not outer))
    _choose(shell, argument, "\\if")


def next_branch(shell: ShellState, argument: str) -> None:
    """``\\elif EXPRESSION``."""
    branch = _last(shell, "\\elif")
    if branch.after_else:
        raise SqlSyntaxError(
            "\\elif cannot be after \\else", value=argument, next_step="Move it before \\else."
        )
    branch.active = False
    _choose(shell, argument, "\\elif")


def last_branch(shell: ShellState, argument: str) -> None:
    """``\\else``."""
    branch = _last(shell, "\\else")
    if branch.after_else:
        raise SqlSyntaxError("\\else is there twice", value="\\else", next_step="Write \\endif.")
    branch.active, branch.matched, branch.after_else = not branch.matched, True, True


def end_branch(shell: ShellState, argument: str) -> None:
    """``\\endif``."""
    _last(shell, "\\endif")
    shell.script.branches.pop()


def check_ended(shell: ShellState, depth: int) -> None:
    """Raise SqlSyntaxError at the end of a script for an ``\\if`` of it without an ``\\endif``."""
    if len(shell.script.branches) > depth:
        del shell.script.branches[depth:]
        raise SqlSyntaxError("an \\if has no \\endif", value="\\if", next_step="Write \\endif.")


def _choose(shell: ShellState, argument: str, name: str) -> None:
    branch = shell.script.branches[-1]
    if branch.matched:
        return
    branch.active = branch.matched = parse_boolean(" ".join(words(argument, shell.params)), name)


def _last(shell: ShellState, name: str) -> Branch:
    if not shell.script.branches:
        raise SqlSyntaxError(f"{name} without an \\if", value=name, next_step="Write \\if before it.")
    return shell.script.branches[-1]
