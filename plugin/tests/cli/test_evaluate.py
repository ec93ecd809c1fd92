from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nestvec.cli import cli
from nestvec.cli.evaluate import default_cache
from nestvec_schemas.errors import DatasetUnusable, EncoderNotFound, ExitNotOffered


def evaluate(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["evaluate", *arguments])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dims", "64,x"], "is not a whole number"),
        (["--forms", "floot"], "Did you mean 'float'?"),
        (["--precision", "fp8"], "is not one of fp32, fp16, int8"),
        (["--candidates", "0"], "is not in the range"),
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
