from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from nestvec.cli import cli
from nestvec.cli.export import command, default_name, merged_name
from nestvec.cli.reports.export_report import _nested, _prompts
from nestvec_exporters.merge import Merge
from nestvec_schemas.errors import (
    CheckpointNotFound,
    CheckpointUnsupported,
    DimNotOffered,
    EncoderError,
    NestvecError,
)
from nestvec_schemas.manifest import ENCODER_NAME, FitSummary, Manifest, RotationMethod


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", "all-minilm-l6-v2"),
        ("./models/BGE small/", "bge-small"),
        ("é", "encoder"),
        ("..hidden", "hidden"),
        ("x" * 100, "x" * 64),
    ],
)
def test_a_name_is_made_from_the_checkpoint(checkpoint: str, name: str) -> None:
    assert default_name(checkpoint) == name
    assert ENCODER_NAME.fullmatch(name)


def test_a_file_is_named_without_its_ending(tmp_path: Path) -> None:
    (tmp_path / "GloVe.6B.50d.txt").touch()
    assert default_name(str(tmp_path / "GloVe.6B.50d.txt")) == "glove.6b.50d"


def test_the_folder_one_is_in_has_a_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bert").mkdir()
    monkeypatch.chdir(tmp_path / "bert")
    assert default_name(".") == "bert"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Missing argument 'CHECKPOINT'"),
        (["x", "--dims", "384,many"], "'many' is not a whole number"),
        (["x", "--dims", ""], "'' is not a whole number"),
        (["x", "--gpus", "0,all"], "'all' is not a whole number. Write the list as 0,1."),
        (["x", "--format", "plan"], "'plan' is not one of"),
        (["x", "--precision", "bf16"], "'bf16' is not one of"),
        (["x", "--precision", "int4"], "'int4' is not one of"),
        (["x", "--max-tokens", "0"], "0 is not in the range"),
        (["x", "--dim", "4"], "No such option"),
        (["x", "--with", "A=y"], "--with needs --merge: it defines a name"),
        (["x", "--merge", "base+A", "--with", "base=y"], "CHECKPOINT is named base in --merge"),
        (["--merge", "base+A", "--with", "A"], "'A' is not NAME=CHECKPOINT"),
        (["x", "--queries", __file__], "--queries needs --rotate"),
        (["x", "--rotate", "demo", "--rotation", "pca", "--queries", __file__], "needs --rotation learned"),
        (["x", "--rotate", "demo", "--queries", "no/such/log"], "'no/such/log' does not exist"),
        (["x", "--ray", "auto"], "--ray needs --rotate or --exits"),
        (["x", "--rotate", "demo", "--worker-cpus", "2"], "--worker-cpus needs --ray: add it, or omit"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(cli, ["export", *arguments])
    assert done.exit_code == 2
    assert says in done.output


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (["./absent"], CheckpointNotFound, "./absent"),
        (["./absent", "--dims", "0"], DimNotOffered, "0"),
        (["./absent", "--name", "a/b"], EncoderError, "a/b"),
        (["./absent", "--gpus", "1,1"], EncoderError, "1, 1"),
        (["./absent", "--precision", "int8", "--tensorrt"], EncoderError, "int8"),
        (["./absent", "--format", "tensorrt"], NestvecError, "no package tensorrt"),
        (["--merge", "./base+A"], CheckpointNotFound, "./base"),
        (["./absent", "--merge", "base+A"], CheckpointNotFound, "./absent"),
        (["./absent", "--merge", "A+B"], CheckpointUnsupported, "A+B"),
        (["--merge", "A+B", "--with", "C=x"], CheckpointUnsupported, "A+B"),
        (["--merge", "A*B"], CheckpointUnsupported, "*B"),
    ],
)
def test_what_cannot_be_exported_is_an_error_that_names_it(
    arguments: list[str], error: type[NestvecError], says: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(cli, ["export", *arguments, "--to", str(tmp_path / "models")])
    assert isinstance(done.exception, error)
    assert done.exception.value == (int(says) if says.isdigit() else says)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("method", "drawn", "texts", "says"),
    [
        ("learned", 600, 1078, "fitted on 600 texts of papers and 598 queries sampled from them"),
        ("pca", 600, 1078, "fitted on 600 texts of papers and 598 sentences of them"),
        ("pca", 600, 480, "fitted on 600 texts of papers\n"),
        ("pca", None, 1078, "fitted on 1,078 texts of papers\n"),
    ],
)
def test_a_report_tells_the_samples_size(
    method: RotationMethod, drawn: int | None, texts: int, says: str
) -> None:
    fit = FitSummary(method=method, sample="papers", sample_texts=drawn, texts=texts, held_out=120, seed=0)
    assert says in _nested(
        Manifest.model_construct(fit=fit, dim=4, layers=(6,), retention={4: 1.0}, exits={})
    )


def test_the_docker_line_repeats_every_option(tmp_path: Path) -> None:
    options = ["--name", "tiny", "--precision", "fp16", "--format", "tensorrt", "--gpus", "0,1"]
    options += ["--dims", "384,64", "--max-tokens", "99", "--force"]
    done = CliRunner().invoke(cli, ["export", "org/model", "--to", str(tmp_path), *options])
    assert isinstance(done.exception, NestvecError)
    assert f"nestvec export org/model --to /models {' '.join(options)}" in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_a_report_lists_the_prompts_and_warns() -> None:
    note = "the prompt of a query is query, not s2p_query; --query-prompt-name chooses another"
    manifest = Manifest.model_construct(
        prompts={"query": "q: ", "STS": "s: "}, default_prompt="STS", prompt_notes=(note,)
    )
    assert _prompts(manifest) == f"prompts: query, STS; STS if a request names none\nwarning: {note}\n"
    assert _prompts(Manifest.model_construct(prompts={}, default_prompt=None, prompt_notes=())) == ""


def test_the_prompts_are_repeated_too(tmp_path: Path) -> None:
    options = ["--query-prompt", "ask:", "--document-prompt-name", "STS", "--prompt", "STS=s:"]
    command = ["export", "org/model", "--to", str(tmp_path), "--format", "tensorrt", *options]
    done = CliRunner().invoke(cli, command)
    assert " ".join(options) in str(done.exception)


def test_a_merge_repeats_its_words_and_no_checkpoint(tmp_path: Path) -> None:
    options = ["--name", "tiny", "--precision", "fp32", "--format", "tensorrt"]
    options += ["--merge", "base+0.4*A", "--with", "base=org/model", "--with", "A=org/other"]
    done = CliRunner().invoke(cli, ["export", "--to", str(tmp_path), *options])
    written = "--merge 'base+0.4*A' --with base=org/model --with A=org/other'"
    assert "nestvec export --to /models --name tiny" in str(done.exception)
    assert written.rstrip("'").replace("'", "'\"'\"'") in str(done.exception)


def test_a_mistake_in_a_merge_is_pointed_at(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["export", "--merge", "base+x*A", "--to", str(tmp_path)])
    assert isinstance(done.exception, CheckpointUnsupported)
    assert str(done.exception).endswith("  base+x*A\n        ^")


@pytest.mark.parametrize(
    ("expression", "names", "name"),
    [
        ("org/MiniLM-0.5*A", {}, "minilm-merged"),
        ("base+A", {"base": "./models/BGE"}, "bge-merged"),
        ("x+y", {"x": "z" * 80}, "z" * 57 + "-merged"),
    ],
)
def test_a_name_is_made_from_the_base(expression: str, names: dict[str, str], name: str) -> None:
    assert merged_name(Merge(expression, names)) == name


def test_no_environment_variable_runs_a_checkpoints_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NESTVEC_EXPORT_TRUST_REMOTE_CODE", "1")
    context = command.make_context("export", ["checkpoint"], auto_envvar_prefix="NESTVEC_EXPORT")
    assert context.params["trust_remote_code"] is False
    requested = command.make_context("export", ["checkpoint", "--trust-remote-code"])
    assert requested.params["trust_remote_code"] is True
