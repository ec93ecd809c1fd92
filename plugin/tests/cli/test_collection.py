"""``nestvec collection``: what it refuses before it opens Milvus, and that its help tells the truth."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner

import nestvec
from nestvec.cli import cli
from nestvec.cli.collection import create
from nestvec_schemas.errors import SpecError
from nestvec_schemas.spec.yaml_file import MAX_SPEC_BYTES, parse_spec


def test_the_spec_in_the_help_is_a_spec() -> None:
    help_text = textwrap.dedent(create.help or "")
    block = help_text.partition("papers.yaml\n")[2].partition("\b")[0]
    spec = parse_spec(textwrap.dedent(block), path="the help")
    assert [one.column(config) for one in spec.embeddings for config in one.configs] == [
        "abstract_64",
        "abstract_384",
        "abstract_128",
        "abstract_64_biomed_exit3",
    ]


def test_dropping_without_a_terminal_needs_yes() -> None:
    done = CliRunner().invoke(cli, ["collection", "drop", "papers", "--uri", "none.db"])
    assert done.exit_code == 2
    assert "needs --yes" in done.output


def test_a_spec_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["collection", "create", str(tmp_path / "x.yaml"), "--uri", "none.db"])
    assert done.exit_code == 2
    assert "does not exist" in done.output


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xfe", "x.yaml cannot be read as text"),
        (b"#" * (MAX_SPEC_BYTES + 1), "x.yaml is larger than 1 MiB"),
        (b"colection: papers", "colection is not a key.*Did you mean 'collection'"),
    ],
)
def test_a_wrong_spec_is_refused_before_milvus_is_opened(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    database = tmp_path / "new.db"
    with pytest.raises(SpecError, match=said):
        CliRunner().invoke(
            cli, ["collection", "create", str(path), "--uri", str(database)], catch_exceptions=False
        )
    assert not database.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "Name the new encoder with --encoder, or use --status or --abort."),
        (["--encoder", "bge", "--bridge-only", "--no-bridge"], "--bridge-only and --no-bridge exclude"),
        (["--abort", "--status"], "--abort and --status exclude each other"),
        (["--abort", "--dry-run"], "--abort and --dry-run exclude each other"),
    ],
)
def test_options_of_an_upgrade_that_exclude_each_other_are_usage_errors(
    tmp_path: Path, options: list[str], said: str
) -> None:
    command = ["collection", "upgrade", "papers", "--uri", str(tmp_path / "none.db"), *options]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 2
    assert said in result.output


def test_a_table_without_vectors_is_shown_by_its_columns(tmp_path: Path) -> None:
    uri = str(tmp_path / "plain.db")
    with nestvec.connect(uri) as connection:
        connection.execute("CREATE TABLE authors (id BIGINT PRIMARY KEY, name TEXT)")
        connection.execute("INSERT INTO authors VALUES (1, 'Ada')")
    result = CliRunner().invoke(cli, ["collection", "show", "authors", "--uri", uri])
    assert result.output.startswith("authors (1 row)")
    assert "encoder" not in result.output
