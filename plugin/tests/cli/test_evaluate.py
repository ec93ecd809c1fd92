from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nestvec.cli import cli
from nestvec.cli.evaluate import default_cache
from nestvec_schemas.errors import DatasetUnusable, EncoderNotFound, ExitNotOffered, IngestError


def evaluate(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["evaluate", *arguments])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dims", "64,x"], "is not a whole number"),
        (["--forms", "floot"], "Did you mean 'float'?"),
        (["--precision", "fp8"], "is not one of fp32, fp16, int8"),
        (["--candidates", "0"], "is not in the range"),
        (["--workers", "2"], "--workers needs --ray: add it, or omit --workers."),
    ],
)
def test_a_mistyped_option_is_a_usage_error(options: list[str], message: str) -> None:
    done = evaluate("data", "--encoder", "e", *options)
    assert done.exit_code == 2
    assert message in done.output


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (["--encoder", "tinny"], EncoderNotFound),
        (["--encoder", "tiny", "--exits", "9"], ExitNotOffered),
        (["--encoder", "tiny"], DatasetUnusable),
        (["--encoder", "tiny", "--report", "no/such/r.html"], DatasetUnusable),
        (["--encoder", "tiny", "--json", "no/such/r.json"], DatasetUnusable),
    ],
)
def test_impossible_requests_fail_before_any_work(
    models_folder: Path, tmp_path: Path, options: list[str], kind: type[Exception]
) -> None:
    cache = tmp_path / "cache"
    done = evaluate(str(tmp_path), "--models", str(models_folder), "--cache", str(cache), *options)
    assert isinstance(done.exception, kind)
    assert not cache.exists()


def test_vectors_are_kept_where_the_desktop_keeps_such(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "nestvec"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache" / "nestvec"


def test_ray_is_connected_before_anything_is_encoded(
    models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, line in (
        ("corpus.jsonl", '{"_id": "d", "text": "heat"}'),
        ("queries.jsonl", '{"_id": "q", "text": "heat"}'),
        ("qrels/test.tsv", "q\td\t1"),
    ):
        path = tmp_path / "papers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(line)
    cache = tmp_path / "cache"
    arguments = [str(tmp_path / "papers"), "--models", str(models_folder), "--encoder", "tiny"]
    with socket.socket() as vacant:
        vacant.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{vacant.getsockname()[1]}"
        done = evaluate(*arguments, "--cache", str(cache), "--ray", address)
    assert isinstance(done.exception, IngestError)
    assert f"the Ray cluster cannot be reached: {address}" in str(done.exception)
    monkeypatch.setitem(sys.modules, "ray", None)
    done = evaluate(*arguments, "--cache", str(cache), "--ray", "auto")
    assert "embedding on Ray needs a package that is not installed: ray. Install it: pip install" in str(
        done.exception
    )
    assert not cache.exists()
