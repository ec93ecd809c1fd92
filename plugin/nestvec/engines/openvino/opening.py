"""Compiles the graphs of an encoder for OpenVINO, and chooses their precision by trying them."""

from __future__ import annotations

import importlib.metadata
import mmap
import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import openvino

from nestvec.engines.agreement import largest_difference, smallest_cosine
from nestvec.engines.contract import Batch, GraphInputs, Probes, ProbeSource, ServingPrecision, graph_inputs
from nestvec.engines.openvino.cache import CompiledCache, Decision, cache_key
from nestvec_schemas.errors import EngineError
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import GRAPH, part_folder, verify_files
from nestvec_schemas.vectors import Vectors

OpenReference = Callable[[str, Path, Manifest], Callable[[Batch], Vectors]]
"""Opens an encoder on the engine that OpenVINO is compared with. Raises EngineError."""

MIN_COSINE: Final = 0.9999
"""Between the vectors in bf16 and in fp32, for bf16 to be chosen."""

_MAX_DIFFERENCE: Final = 1e-4
"""Between an fp32 graph on OpenVINO and on the reference."""

_MIN_REFERENCE_COSINE: Final = 0.99
"""The same as a cosine, for graphs in fewer bits, which engines round in different ways."""

_CACHED_SHAPES: Final = 1000
"""Kernels for shapes that are kept. Each new shape is compiled in some 5 ms, and more of them take memory:
480 MB instead of 240 MB after 1,600 batches of random shapes through MiniLM, at the same speed."""

_MAX_CAUSE: Final = 200

_REFERENCE: Final = "onnxruntime"
"""The package of the engine that OpenVINO is compared with."""

_DYNAMIC: Final = (b"DynamicQuantizeLinear", b"DynamicQuantizeMatMul", b"QAttention")
"""Operators of int8 graphs whose activations are quantised per batch."""

_HINTS: Final = {"bf16": "bf16", "fp32": "f32", "int8": "f32"}
"""OpenVINO's precision of what is not quantised. In bf16, an int8 graph's vectors depend on the batch."""


@dataclass(frozen=True)
class OpenVinoOptions:
    """How OpenVINO runs encoders."""

    threads: int = 0
    """0 for one per core that the process may use."""
    precision: ServingPrecision = "auto"
    """``auto``: bf16 where the CPU computes in it and the encoder's probes keep ``MIN_COSINE``."""
    cache: Path | None = None
    """The folder for what is compiled, of this user alone; None to compile at each start."""
    probes: ProbeSource | None = None
    """None: no encoder can be tried, and ``auto`` is fp32."""
    reference: OpenReference | None = None
    """What the outputs in fp32 must agree with; None compares them with nothing."""
    max_streams: int = 4
    """Batches of an encoder at once, at most. For several, its graphs are in memory twice under load."""


@dataclass
class CompiledGraph:
    """One compiled graph, and its requests that no batch uses now."""

    compiled: openvino.CompiledModel
    inputs: GraphInputs
    idle: list[openvino.InferRequest] = field(default_factory=list)

    def run(self, batch: Batch) -> Vectors:
        """The first output for a batch, in memory of its own: the next batch overwrites that of a request."""
        arrays = {name: np.ascontiguousarray(array) for name, array in self.inputs.arrays(batch).items()}
        try:
            request = self.idle.pop()  # atomic, as append is
        except IndexError:
            request = self.compiled.create_infer_request()
        request.infer(arrays, share_inputs=True)
        vectors: Vectors = np.array(request.get_output_tensor(0).data)
        self.idle.append(request)
        return vectors


@dataclass(frozen=True)
class OpenedEncoder:
    """The graphs of an encoder by part, and how they were compiled."""

    graphs: Mapping[str, CompiledGraph]
    decision: Decision
    key: str
    """Of the cache, for the files as they were."""


@dataclass(frozen=True)
class Opening:
    """One encoder to be opened."""

    core: openvino.Core
    options: OpenVinoOptions
    cache: CompiledCache
    encoder: str
    folder: Path
    manifest: Manifest

    def open(self) -> OpenedEncoder:
        """The encoder as it was compiled before, or compiled now.

        Raises EngineError, whose value is the reason, if OpenVINO cannot run it or gives other vectors than
        the reference.
        """
        inputs = graph_inputs(self.manifest)
        if self.manifest.precision.startswith("int8") and any(map(_is_dynamic, self._paths().values())):
            raise self._refused("its int8 ranges are computed per batch, which is ONNX Runtime's own way")
        key = self._key()
        cached = self.cache.find(key)
        if cached is not None:
            decision, folder = cached
            if decision.refusal:
                raise self._refused(decision.refusal)
            return OpenedEncoder(self._compile(inputs, decision.precision, folder), decision, key)
        folder_to_fill = self.cache.new_folder()
        try:
            graphs, decision = self._decide(inputs, folder_to_fill)
        except _Differs as differs:
            for precision in _HINTS:
                _forget(folder_to_fill, precision)
            self.cache.store(key, Decision("", refusal=str(differs)), folder_to_fill)
            raise self._refused(str(differs)) from None
        except BaseException:
            if folder_to_fill is not None:
                shutil.rmtree(folder_to_fill, ignore_errors=True)
            raise
        self.cache.store(key, decision, folder_to_fill)
        return OpenedEncoder(graphs, decision, key)

    def open_streams(self, opened: OpenedEncoder, count: int) -> dict[str, CompiledGraph]:
        """The graphs of ``opened`` once more, for ``count`` batches at once. Raises EngineError, also if
        their files were replaced, and ManifestCorrupt if they were meanwhile."""
        self._check_files(opened)
        cached = self.cache.find(opened.key)
        folder = None if cached is None else cached[1]
        graphs = self._compile(graph_inputs(self.manifest), opened.decision.precision, folder, count)
        # Those of another version may be so much alike that no comparison of vectors tells them apart.
        self._check_files(opened)
        verify_files(self.folder, self.manifest)
        return graphs

    def _check_files(self, opened: OpenedEncoder) -> None:
        if self._key() != opened.key:
            raise self._refused("its files were replaced")

    def graph_bytes(self) -> int:
        """The size of the files of the graphs."""
        folders = [path.parent for path in self._paths().values()]
        return sum(path.stat().st_size for folder in folders for path in folder.iterdir() if path.is_file())

    def _decide(
        self, inputs: Mapping[str, GraphInputs], folder: Path | None
    ) -> tuple[dict[str, CompiledGraph], Decision]:
        """The encoder's graphs in the precision that the options ask for, or that its probes allow.

        It is in memory once at a time, in one precision or on the reference.
        """
        choice = self.options.precision
        expected = self._reference_outputs()
        first = "int8" if self.manifest.precision == "int8" else "fp32"
        tries_bf16 = first == "fp32" and (choice == "bf16" or (choice == "auto" and has_bf16(self.core)))
        graphs = self._compile(inputs, first, folder)
        exact = [] if expected is None and not tries_bf16 else self._outputs(graphs)
        if expected is not None:
            self._compare(exact, expected)
        if not tries_bf16:
            return graphs, Decision(first)
        if not exact and choice == "auto":
            return graphs, Decision("fp32", reason="there are no probes to try bf16 with")
        graphs = {}
        if not exact:
            _forget(folder, "fp32")
            return self._compile(inputs, "bf16", folder), Decision("bf16")
        graphs = self._compile(inputs, "bf16", folder)
        cosine = smallest_cosine(self._outputs(graphs), exact, packed=bool(self.manifest.outputs))
        if choice == "bf16" or cosine >= MIN_COSINE:
            _forget(folder, "fp32")
            return graphs, Decision("bf16", cosine)
        graphs = {}
        _forget(folder, "bf16")
        reason = f"in bf16 the cosine to fp32 is {cosine:.5f}, less than {MIN_COSINE}"
        return self._compile(inputs, "fp32", folder), Decision("fp32", reason=reason)

    def _reference_outputs(self) -> list[Array] | None:
        """What the reference gives for the probes; None without one. Raises _Differs."""
        if self.options.reference is None:
            return None
        if not self._tries_all_parts():
            raise _Differs("there are no probes to compare its vectors with ONNX Runtime's")
        run = self.options.reference(self.encoder, self.folder, self.manifest)
        return [run(batch) for batches in self._probes.values() for batch in batches]

    def _outputs(self, graphs: Mapping[str, CompiledGraph]) -> list[Array]:
        """What the graphs give for the probes; nothing if a part has none. Raises EngineError."""
        if not self._tries_all_parts():
            return []
        try:
            return [graphs[part].run(batch) for part, batches in self._probes.items() for batch in batches]
        except Exception as error:  # as in _compile; some operators compile, and fail on every batch
            raise self._refused(f"it fails on a batch ({short_cause(error)})") from error

    def _compare(self, outputs: Sequence[Array], expected: Sequence[Array]) -> None:
        packed = bool(self.manifest.outputs)
        if self.manifest.precision == "fp32":
            difference = largest_difference(outputs, expected, packed=packed)
            if difference > _MAX_DIFFERENCE:
                raise _Differs(f"its vectors differ from ONNX Runtime's by up to {difference:.2g}")
            return
        cosine = smallest_cosine(outputs, expected, packed=packed)
        if cosine < _MIN_REFERENCE_COSINE:
            raise _Differs(f"the cosine of its vectors to ONNX Runtime's is only {cosine:.4f}")

    @cached_property
    def _probes(self) -> Probes:
        return {} if self.options.probes is None else self.options.probes(self.folder, self.manifest)

    def _tries_all_parts(self) -> bool:
        return all(self._probes.get(part) for part in self.manifest.parts)

    def _paths(self) -> dict[str, Path]:
        return {part: part_folder(self.folder, part) / GRAPH for part in self.manifest.parts}

    def _compile(
        self, inputs: Mapping[str, GraphInputs], precision: str, folder: Path | None, streams: int = 1
    ) -> dict[str, CompiledGraph]:
        config = compile_config(self.options.threads, precision, streams)
        if folder is not None:
            config["CACHE_DIR"] = str(folder / precision)
        graphs = {}
        for part, path in self._paths().items():
            try:
                graphs[part] = CompiledGraph(self.core.compile_model(path, "CPU", config), inputs[part])
            except Exception as error:  # openvino raises RuntimeError for whatever it finds
                raise self._refused(f"{path} does not compile ({short_cause(error)})") from error
        return graphs

    def _refused(self, reason: str) -> EngineError:
        return EngineError(
            f"OpenVINO cannot run the encoder {self.encoder}",
            value=reason,
            next_step="Serve it with --engine onnx; if that fails too, export it again.",
        )

    def _key(self) -> str:
        """What the compiled graphs and the decision depend on."""
        status = {part: path.stat() for part, path in self._paths().items() if path.exists()}
        return cache_key(
            {
                "files": self.manifest.files,
                "manifest": self.manifest.model_dump(mode="json", include={"precision", "layers", "towers"}),
                "graphs": {part: (entry.st_size, entry.st_mtime_ns) for part, entry in status.items()},
                "folder": self.folder.resolve(),
                "openvino": openvino.__version__,
                "cpu": cpu_features(self.core),
                "threads": self.options.threads,
                "precision": self.options.precision,
                # Another version of it may give what this one refuses, or the other way round.
                "reference": None if self.options.reference is None else _version_of(_REFERENCE),
                "tried": self.options.probes is not None,
            }
        )


def _version_of(package: str) -> str:
    """The version of an installed package, "" for one that is not."""
    for name in (package, f"{package}-gpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


class _Differs(Exception):
    """The outputs of an encoder are not those of the reference."""


@cache
def openvino_core() -> openvino.Core:
    """The process's only one, which is never freed.

    The CPU plugin puts the signal handlers of the thread that loads it on a stack of its own, and unmaps that
    when it is freed, by whatever thread: the next signal would end the process.
    """
    return openvino.Core()


def has_bf16(core: openvino.Core) -> bool:
    """Whether the CPU computes in bfloat16."""
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def cpu_features(core: openvino.Core) -> list[str]:
    """What distinguishes this CPU from one that code compiled for it may not run on."""
    features = [platform.machine(), str(core.get_property("CPU", "FULL_DEVICE_NAME"))]
    features += core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return features
    flags = (line for line in lines if line.startswith(("flags", "Features")))
    return [*features, *sorted(next(flags, "").partition(":")[2].split())]


def short_cause(error: Exception) -> str:
    """The last line of OpenVINO's message that says something: before it are places in its source."""
    lines = [line.strip() for line in str(error).splitlines()]
    messages = [line for line in lines if line and not line.startswith("Exception from ")]
    return (messages[-1] if messages else type(error).__name__)[:_MAX_CAUSE]


def compile_config(threads: int, precision: str, streams: int = 1) -> dict[str, Any]:
    """OpenVINO's properties for a graph in a precision of ``_HINTS``; 0 threads are one per core.

    With several ``streams`` the threads are divided among as many batches.
    """
    config: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        # Two services that both pin their threads to the first cores would share those.
        "ENABLE_CPU_PINNING": False,
        # Else activations are quantised where weights are.
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
        "CPU_RUNTIME_CACHE_CAPACITY": _CACHED_SHAPES,
    }
    if threads := threads or _limited_cores():
        config["INFERENCE_NUM_THREADS"] = threads
    return config | ({"PERFORMANCE_HINT": "LATENCY"} if streams == 1 else {"NUM_STREAMS": streams})


def usable_threads(options: OpenVinoOptions) -> int:
    """The threads of a batch that is alone, at most."""
    return options.threads or _limited_cores() or os.cpu_count() or 1


def _limited_cores() -> int:
    """How many cores the process may use, if not all of the machine's; else 0."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    return usable if usable < (os.cpu_count() or 1) else 0


def _forget(folder: Path | None, precision: str) -> None:
    if folder is not None:
        shutil.rmtree(folder / precision, ignore_errors=True)


def _is_dynamic(path: Path) -> bool:
    """Whether the activations of an int8 graph are quantised per batch."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return any(data.find(operator) >= 0 for operator in _DYNAMIC)
    except (OSError, ValueError):  # absent, or empty: it will not compile
        return False
