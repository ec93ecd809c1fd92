"""What the machine is, and what it can do at most."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from gpu_parts.timing import seconds_of
from nestvec.engines.device import Device, check_session
from nestvec.engines.graph_sessions import on_device

CHAIN = 8
"""Matrix products in one run, so that starting it costs nothing."""


def smi(field: str) -> str | None:
    """What nvidia-smi says of the first GPU; None without it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, f"--query-gpu={field}", "--format=csv,noheader,nounits", "--id=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout.strip() or None


def memory_mb() -> int | None:
    """Memory in use on the GPU, in MB."""
    used = smi("memory.used")
    return int(used) if used is not None and used.isdigit() else None


def peak_tflops(device: Device, size: int, precision: str) -> float:
    """Trillions of operations a second in products of square matrices, by the device's own library."""
    kind = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.FLOAT
    names = [f"x{number}" for number in range(CHAIN + 1)]
    nodes = [helper.make_node("MatMul", [left, "weights"], [right]) for left, right in pairwise(names)]
    # The result stays on the GPU: one number of it is copied.
    nodes.append(helper.make_node("Slice", [names[-1], "from", "to"], ["y"]))
    ends = [
        onnx.numpy_helper.from_array(np.array(ends), name)
        for name, ends in (("from", [0, 0]), ("to", [1, 1]))
    ]
    inputs = [helper.make_tensor_value_info(name, kind, [size, size]) for name in ("x0", "weights")]
    output = helper.make_tensor_value_info("y", kind, [1, 1])
    graph = helper.make_graph(nodes, "peak", inputs, [output], ends)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "peak.onnx")
        onnx.save(model, str(path))
        session = device.open_session(path, onnxruntime.SessionOptions())
    check_session(session, device)
    numbers = np.full((size, size), 1 / size, np.float16 if precision == "fp16" else np.float32)
    binding = session.io_binding()
    for name in ("x0", "weights"):
        binding.bind_ortvalue_input(name, on_device(numbers, device))
    binding.bind_output("y", "cpu")
    seconds = seconds_of(lambda: session.run_with_iobinding(binding), time.monotonic() + 5)
    return CHAIN * 2 * size**3 / seconds / 1e12
