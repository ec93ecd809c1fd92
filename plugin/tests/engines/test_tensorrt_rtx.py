"""Without a GPU: every way in which TensorRT-RTX cannot be used is an error that says so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from nestvec.engines import tensorrt_rtx
from nestvec.engines.device import choose_device
from nestvec.engines.onnx import OnnxEngine
from nestvec.engines.tensorrt_rtx import PROVIDER
from nestvec_schemas.errors import EngineError

PACKAGE = "onnxruntime_ep_nv_tensorrt_rtx"


@pytest.fixture(autouse=True)
def _unregistered() -> Iterator[None]:
    tensorrt_rtx.register_library.cache_clear()
    yield
    tensorrt_rtx.register_library.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, library: Path) -> None:
    """The package, with another library."""
    package = ModuleType(PACKAGE)
    package.get_library_path = lambda: str(library)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, PACKAGE, package)


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(EngineError, match=r"TensorRT-RTX is not installed.*nestvec\[tensorrt-rtx\]"):
        OnnxEngine({}, device="tensorrt-rtx")


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path / "libmissing.so")
    with pytest.raises(EngineError, match=r"cannot load libmissing\.so: .*cannot open shared object file"):
        choose_device("tensorrt-rtx")


def test_a_library_that_is_no_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    import _ctypes

    install(monkeypatch, Path(_ctypes.__file__))
    with pytest.raises(EngineError, match=r"cannot load .*CreateEpFactories.*compute capability 8\.6"):
        choose_device("tensorrt-rtx:0")


def test_an_onnx_runtime_without_plugins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path / "lib.so")
    monkeypatch.delattr(onnxruntime, "register_execution_provider_library")
    with pytest.raises(EngineError, match=r"takes no plugins.*1\.24"):
        choose_device("tensorrt-rtx")


def test_a_gpu_that_it_does_not_support(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path / "lib.so")
    monkeypatch.setattr(onnxruntime, "register_execution_provider_library", lambda name, path: None)
    with pytest.raises(EngineError, match=r"does not support that GPU: number 1, of 0.*not A100"):
        choose_device("tensorrt-rtx:1")


def test_a_session_runs_on_the_plugins_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path / "lib.so")
    registered: list[tuple[str, str]] = []
    gpu = SimpleNamespace(ep_name=PROVIDER)
    monkeypatch.setattr(
        onnxruntime, "register_execution_provider_library", lambda *names: registered.append(names)
    )
    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: [SimpleNamespace(ep_name="CPU"), gpu])
    device = choose_device("tensorrt-rtx")
    choose_device("tensorrt-rtx:0")
    assert (device.name, device.provider, device.plugin) == ("tensorrt-rtx:0", PROVIDER, gpu)
    assert registered == [(PROVIDER, str(tmp_path / "lib.so"))]

    opened: list[Any] = []
    options = SimpleNamespace(add_provider_for_devices=lambda devices, settings: opened.append(devices))
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *arguments: arguments)
    assert device.open_session(tmp_path, options) == (str(tmp_path), options)
    assert opened == [[gpu]]
