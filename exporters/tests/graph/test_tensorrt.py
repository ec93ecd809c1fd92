from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec_exporters.graph.tensorrt import (
    RELEASE,
    OptimisationProfile,
    check_tensorrt,
    docker_command,
    optimisation_profiles,
)
from nestvec_exporters.graph.tensors import MAX_BATCH
from nestvec_schemas.errors import NestvecError


def test_the_profiles_of_a_short_encoder() -> None:
    assert optimisation_profiles(256) == (
        OptimisationProfile((1, 1), (64, 32), (64, 32)),
        OptimisationProfile((1, 1), (32, 128), (64, 128)),
        OptimisationProfile((1, 1), (16, 256), (64, 256)),
    )


@given(st.integers(1, 32768))
def test_every_batch_that_the_service_can_send_has_a_profile(tokens: int) -> None:
    found = optimisation_profiles(tokens)
    assert found[-1].max_shape == (MAX_BATCH, tokens)
    assert [one.max_shape[1] for one in found] == sorted({one.max_shape[1] for one in found})
    for one in found:
        assert all(a <= b <= c for a, b, c in zip(one.min_shape, one.opt_shape, one.max_shape, strict=True))


def test_without_tensorrt_the_docker_line_is_told(tmp_path: Path) -> None:
    with pytest.raises(NestvecError) as found:
        check_tensorrt("org/model", tmp_path / "my models", ("--name", "tiny"))
    line = str(found.value).splitlines()[-1]
    words = shlex.split(line)
    assert words[:5] == ["docker", "run", "--rm", "--gpus", "all"]
    assert words[5:8] == [
        "--volume",
        f"{tmp_path / 'my models'}:/models",
        f"nvcr.io/nvidia/tensorrt:{RELEASE}-py3",
    ]
    assert words[-1] == ("pip install 'nestvec[export]' && nestvec export org/model --to /models --name tiny")


def test_a_local_checkpoint_is_mounted(tmp_path: Path) -> None:
    words = shlex.split(docker_command(str(tmp_path), tmp_path / "models", ()))
    assert f"{tmp_path}:/checkpoint:ro" in words
    assert "nestvec export /checkpoint --to /models" in words[-1]
