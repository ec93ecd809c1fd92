"""Backslash commands that change how results are printed: ``\\pset`` and its short forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, get_args

import click

from nestvec.shell.print_result import OutputFormat
from nestvec.shell.state import ShellState
from nestvec.shell.variables import parse_boolean, words
from nestvec.terminal.tables import Expanded
from nestvec_schemas.errors import SqlNotSupported, SqlSyntaxError, nearest

FORMATS: Final = get_args(OutputFormat)
_EXPANDED_STATES: Final = {"on": "on", "off": "off", "auto": "used automatically"}


def set_print_option(shell: ShellState, argument: str) -> None:
    """``\\pset [NAME [VALUE]]``. Raises SqlSyntaxError, SqlNotSupported."""
    name, *values = words(argument, shell.params) or [""]
    if not name:
        for each in _OPTIONS:
            click.echo(f"{each:<24} {_state(shell, each)}")
        return
    set_option = _OPTIONS.get(name)
    if set_option is None:
        raise SqlNotSupported(
            "this option of \\pset is not supported",
            value=name,
            next_step=f"Available: {', '.join(_OPTIONS)}.{nearest(name, _OPTIONS)}",
        )
    set_option(shell, values[0] if values else None)
    _say(shell, f"{name} is {_state(shell, name)}.")


def toggle_alignment(shell: ShellState, argument: str) -> None:
    """``\\a``: unaligned, or back to a table."""
    shell.output_format = "table" if shell.output_format == "unaligned" else "unaligned"
    _say(shell, f"Output format is {shell.output_format}.")


def set_tuples_only(shell: ShellState, argument: str) -> None:
    """``\\t [on|off]``."""
    _set_tuples_only(shell, argument or None)
    _say(shell, f"Tuples only is {_switch(shell.output.tuples_only)}.")


def set_field_separator(shell: ShellState, argument: str) -> None:
    """``\\f [TEXT]``: between values of unaligned rows."""
    texts = words(argument, shell.params)
    if texts:
        _change(shell, field_separator=texts[0])
    _say(shell, f'Field separator is "{shell.output.options.field_separator}".')


def set_title(shell: ShellState, argument: str) -> None:
    """``\\C [TEXT]``: the title of tables."""
    _change(shell, title=" ".join(words(argument, shell.params)))


def set_expanded(shell: ShellState, argument: str) -> None:
    """``\\x [on|off|auto]``."""
    _set_expanded(shell, argument or None)
    _say(shell, f"Expanded display is {_EXPANDED_STATES[shell.expanded]}.")


def set_format(shell: ShellState, name: str | None) -> None:
    """One of the formats. Raises SqlNotSupported for those of psql that there are not."""
    if name is not None and name not in FORMATS:
        raise SqlNotSupported(
            "this output format is not supported", value=name, next_step=f"Available: {', '.join(FORMATS)}."
        )
    shell.output_format = name or shell.output_format  # type: ignore[assignment]


def _set_expanded(shell: ShellState, text: str | None) -> None:
    states: dict[str, Expanded] = {"on": "on", "off": "off", "auto": "auto"}
    state = ("off" if shell.expanded == "on" else "on") if text is None else text.lower()
    if state not in states:
        raise SqlSyntaxError("\\x takes on, off or auto", value=text, next_step="Write \\x auto.")
    if shell.output_format in ("json", "csv"):
        shell.output_format = "table"
    shell.expanded = states[state]


def _set_tuples_only(shell: ShellState, text: str | None) -> None:
    only = not shell.output.tuples_only if text is None else parse_boolean(text, "tuples_only")
    _change(shell, tuples_only=only)


def _set_footer(shell: ShellState, text: str | None) -> None:
    _change(shell, footer=not shell.output.options.footer if text is None else parse_boolean(text, "footer"))


def _set_pager(shell: ShellState, text: str | None) -> None:
    shell.output.pager = not shell.output.pager if text is None else parse_boolean(text, "pager")


def _text_option(field: str) -> Callable[[ShellState, str | None], None]:
    def set_option(shell: ShellState, text: str | None) -> None:
        if text is not None or field == "title":
            _change(shell, **{field: text or ""})

    return set_option


def _zero_option(field: str) -> Callable[[ShellState, str | None], None]:
    return lambda shell, text: _change(shell, **{field: "\0"})


_OPTIONS: Final[dict[str, Callable[[ShellState, str | None], None]]] = {
    "expanded": _set_expanded,
    "x": _set_expanded,
    "fieldsep": _text_option("field_separator"),
    "fieldsep_zero": _zero_option("field_separator"),
    "footer": _set_footer,
    "format": set_format,
    "null": _text_option("null"),
    "pager": _set_pager,
    "recordsep": _text_option("record_separator"),
    "recordsep_zero": _zero_option("record_separator"),
    "t": _set_tuples_only,
    "title": _text_option("title"),
    "tuples_only": _set_tuples_only,
}


def _state(shell: ShellState, name: str) -> str:
    options = shell.output.options
    return {
        "expanded": shell.expanded,
        "x": shell.expanded,
        "fieldsep": repr(options.field_separator),
        "fieldsep_zero": _switch(options.field_separator == "\0"),
        "footer": _switch(options.footer),
        "format": shell.output_format,
        "null": repr(options.null or ""),
        "pager": _switch(shell.output.pager),
        "recordsep": repr(options.record_separator),
        "recordsep_zero": _switch(options.record_separator == "\0"),
        "title": repr(options.title),
    }.get(name, _switch(options.tuples_only))


def _change(shell: ShellState, **changes: Any) -> None:
    shell.output = replace(shell.output, options=replace(shell.output.options, **changes))


def _switch(value: bool) -> str:
    return "on" if value else "off"


def _say(shell: ShellState, text: str) -> None:
    if not shell.output.quiet:
        click.echo(text, err=True)
