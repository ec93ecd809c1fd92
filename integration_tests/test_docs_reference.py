"""The reference pages name everything that the code has: statements, functions, settings, headers."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from nestvec.cli import cli
from nestvec.sql.bind.ddl import column_types, index
from nestvec.sql.bind.vectors import distance, rerank
from nestvec.sql.parse import parse
from nestvec.sql.relational.errors import function_names
from nestvec.sql.settings import SETTINGS

DOCS = Path(__file__).parents[1] / "docs"
SQL = (DOCS / "sql.md").read_text()


def section(page: str, heading: str) -> str:
    """The text below a heading, up to the next one of its level or above."""
    level = re.match("#+", heading)
    assert level is not None
    match = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level[0])}}} |\Z)", page, re.M | re.S)
    assert match is not None, heading
    return match[1]


def codes(text: str) -> set[str]:
    """The words that a text has as code, its blocks aside."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return {word for code in re.findall("`([^`]+)`", text) for word in re.findall(r"[\w.]+|[^\w\s]+", code)}


def test_every_statement_is_listed_and_every_other_is_refused() -> None:
    assert set(parse.STATEMENTS) <= codes(section(SQL, "## Statements"))
    refused = set(parse._UNSUPPORTED_STATEMENTS) - {"WITH"}
    assert refused <= codes(section(SQL, "## Not supported"))
    assert not set(parse.STATEMENTS) & (set(parse._UNSUPPORTED_STATEMENTS))


def test_every_setting_is_listed_with_its_name() -> None:
    table = section(SQL, "## Settings")
    assert re.findall(r"^\| `([\w.]+)` \|", table, re.M) == list(SETTINGS)


def test_every_function_and_aggregate_is_listed() -> None:
    listed = {word.lower() for word in codes(section(SQL, "### Expressions"))}
    assert {*function_names.FUNCTIONS, *function_names.AGGREGATES} <= listed


def test_every_cast_is_listed() -> None:
    listed = codes(section(SQL, "### Expressions"))
    assert set(function_names.CASTS) <= listed


def test_every_distance_operator_is_listed_with_its_metric() -> None:
    rows = re.findall(r"^\| `(<\S+>)` \| .* \| `(\w+)` \|$", section(SQL, "### Distances"), re.M)
    assert dict(rows) == distance.OPERATOR_METRICS


def test_every_type_is_listed() -> None:
    listed = section(SQL, "### Types")
    assert all(f"`{name}" in listed or f", `{name}" in listed for name in column_types._TYPE_NAMES)


def test_every_index_method_is_listed_with_its_parameters() -> None:
    text = section(SQL, "## Indexes")
    assert {name for classes in index.OPERATOR_CLASSES.values() for name in classes} <= codes(text)
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for name, method in index.INDEX_METHODS.items():
        row = next(line for line in rows if f"`{name}`" in line.split("|")[1])
        assert f"`{method.type}`" in row
        assert set(method.params) - {"efconstruction", "nlist"} <= codes(row)


def test_every_option_of_rerank_by_is_listed() -> None:
    rows = re.findall(r"^\| `(\w+) = .*?` \|", section(SQL, "### RERANK BY"), re.M)
    assert set(rows) == set(rerank._OPTIONS)


def test_limits_are_those_of_the_code() -> None:
    assert (parse.MAX_BYTES, parse.MAX_TOKENS, parse.MAX_NESTING) == (1 << 20, 60_000, 32)
    assert "1 MiB, 60,000 tokens and 32 levels" in SQL


def test_every_generated_table_is_on_a_page() -> None:
    hook = (DOCS.parent / "tools" / "docs" / "reference_tables.py").read_text()
    named = set(re.findall(r'^    "([a-z-]+)": ', hook[hook.index("TABLES: Final") :], re.M))
    shown = {
        name for page in DOCS.glob("*.md") for name in re.findall(r"generated: ([a-z-]+)", page.read_text())
    }
    assert named == shown


def test_the_command_line_s_page_has_every_command_from_the_code() -> None:
    assert "<!-- generated: cli -->" in (DOCS / "cli.md").read_text()
    assert set(cli.list_commands(click.Context(cli))) >= {"export", "serve", "sql"}


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_every_page_is_in_the_navigation(page: Path) -> None:
    assert re.search(rf": {re.escape(page.name)}$", (DOCS.parent / "mkdocs.yml").read_text(), re.M)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_files_of_the_source_that_a_page_names_are_there(page: Path) -> None:
    root = DOCS.parent
    for name in re.findall(r"`((?:schemas|exporters|plugin|tools|docker)/[\w./-]*)`", page.read_text()):
        assert "NAME" in name or (root / name).exists(), name


def test_messages_of_the_troubleshooting_are_those_of_the_code() -> None:
    source = "\n".join(
        re.sub(r'"\s+f?"', "", path.read_text())
        for folder in ("schemas", "exporters", "plugin")
        for path in (DOCS.parent / folder).rglob("*.py")
    )
    for heading in re.findall(
        r"^### (.*)$", section((DOCS / "operate.md").read_text(), "## Troubleshooting"), re.M
    ):
        if heading in MILVUS_SAYS or heading.isdigit():
            continue
        for part in heading.split("…"):
            assert part.strip() in source, heading


MILVUS_SAYS = {
    "Collection … is in state 'released'",
    "context deadline exceeded",
    "can not find key",
    "limits of open files",
}
"""Headings that are messages of Milvus, or none."""
