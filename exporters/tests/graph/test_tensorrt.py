from __future__ import annotations

import shlex
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec_exporters.graph.tensorrt import (
    RELEASE,
    OptimisationProfile,
    build_tensorrt_plan,
    check_tensorrt,
    docker_command,
    optimisation_profiles,
)
from nestvec_exporters.graph.tensors import MAX_BATCH
from nestvec_schemas.errors import CheckpointUnsupported, NestvecError


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


class FakeTensorRT:
    """The part of TensorRT 11's Python API that a plan is built with; it has no flag for a precision.

    ``errors`` are the parser's, ``profile_index`` what adding a profile returns, ``plan`` what is built.
    """

    Logger = SimpleNamespace
    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
    MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")

    def __init__(self, inputs: dict[str, tuple[int, ...]]) -> None:
        self.inputs = [SimpleNamespace(name=name, shape=shape) for name, shape in inputs.items()]
        self.errors: list[str] = []
        self.profile_index = 0
        self.plan: bytes | None = b"plan"
        self.flags = 0
        self.profiles: list[dict[str, tuple[Any, ...]]] = []
        self.limits: dict[str, int] = {}
        self.Logger = type("Logger", (), {"ERROR": 1, "__init__": lambda self, level: None})  # type: ignore[assignment]

    def Builder(self, logger: Any) -> Any:
        return SimpleNamespace(
            create_network=self._create_network,
            create_builder_config=lambda: SimpleNamespace(
                set_memory_pool_limit=self.limits.__setitem__,
                add_optimization_profile=self._add_profile,
            ),
            create_optimization_profile=self._create_profile,
            build_serialized_network=lambda network, config: self.plan,
        )

    def OnnxParser(self, network: Any, logger: Any) -> Any:
        return SimpleNamespace(
            parse_from_file=lambda path: not self.errors,
            num_errors=len(self.errors),
            get_error=self.errors.__getitem__,
        )

    def _create_network(self, flags: int) -> Any:
        self.flags = flags
        return SimpleNamespace(num_inputs=len(self.inputs), get_input=self.inputs.__getitem__)

    def _create_profile(self) -> Any:
        shapes: dict[str, tuple[Any, ...]] = {}

        def set_shape(name: str, min: Any, opt: Any, max: Any) -> None:
            shapes[name] = (min, opt, max)

        return SimpleNamespace(shapes=shapes, set_shape=set_shape)

    def _add_profile(self, profile: Any) -> int:
        self.profiles.append(profile.shapes)
        return self.profile_index


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    fake = FakeTensorRT({"input_ids": (-1, -1), "attention_mask": (-1, -1), "pixels": (-1, 8, 8, 3)})
    monkeypatch.setitem(sys.modules, "tensorrt", fake)  # type: ignore[arg-type]
    return fake


def test_a_plan_is_strongly_typed_and_has_a_profile_for_each_rung(
    tensorrt: FakeTensorRT, tmp_path: Path
) -> None:
    build_tensorrt_plan(tmp_path / "model.onnx", tmp_path / "model.plan", optimisation_profiles(128))
    assert (tmp_path / "model.plan").read_bytes() == b"plan"
    assert tensorrt.flags == 1 << 1
    ids = [((1, 1), (64, 32), (64, 32)), ((1, 1), (32, 128), (64, 128))]
    assert [profile["input_ids"] for profile in tensorrt.profiles] == ids
    assert [profile["attention_mask"] for profile in tensorrt.profiles] == ids
    assert tensorrt.profiles[0]["pixels"] == ((1, 8, 8, 3), (64, 8, 8, 3), (64, 8, 8, 3))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"errors": ["no importer for MultiHeadAttention", "b"]}, "cannot read the graph: no importer.*; b"),
        ({"profile_index": -1}, "does not accept an optimisation profile"),
        ({"plan": None}, "cannot build a plan"),
    ],
)
def test_what_tensorrt_refuses_leaves_no_plan(
    change: dict[str, Any], says: str, tensorrt: FakeTensorRT, tmp_path: Path
) -> None:
    vars(tensorrt).update(change)
    with pytest.raises(CheckpointUnsupported, match=says):
        build_tensorrt_plan(tmp_path / "model.onnx", tmp_path / "model.plan", optimisation_profiles(32))
    assert not list(tmp_path.iterdir())
