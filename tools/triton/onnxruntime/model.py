"""Triton's ``onnxruntime`` backend in Python: the same config.pbtxt and model.onnx, run by that package.

The Triton that packages carry has only the Python backend, which takes a folder like this one for a
backend of its own. All requests of a batch go through the graph in one run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """One instance of one version of an encoder."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version's graph; an error here is what Triton answers to whoever asked for the load."""
        config = json.loads(args["model_config"])
        self._inputs = [one["name"] for one in config["input"]]
        self._output = config["output"][0]["name"]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # The service shares these cores: threads that spin between batches would take them from it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """The answers to ``requests``, in order."""
        feeds = {name: _joined(requests, name) for name in self._inputs}
        try:
            vectors = self._session.run([self._output], feeds)[0]
        except Exception as error:  # onnxruntime raises classes of its own, without a common root
            told = triton.TritonError(str(error))
            return [triton.InferenceResponse(error=told) for _ in requests]
        answers, start = [], 0
        for request in requests:
            count = _array(request, self._inputs[0]).shape[0]
            part = triton.Tensor(self._output, vectors[start : start + count])
            answers.append(triton.InferenceResponse([part]))
            start += count
        return answers


def _array(request: Any, name: str) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = triton.get_input_tensor_by_name(request, name).as_numpy()
    return found


def _joined(requests: list[Any], name: str) -> np.ndarray[Any, Any]:
    """One input of all requests, one below the other, each axis padded behind with zeros."""
    arrays = [_array(request, name) for request in requests]
    if len(arrays) == 1:
        return arrays[0]
    sides = [max(sizes) for sizes in zip(*(array.shape[1:] for array in arrays), strict=True)]
    joined = np.zeros((sum(map(len, arrays)), *sides), arrays[0].dtype)
    start = 0
    for array in arrays:
        inside = tuple(slice(size) for size in array.shape[1:])
        joined[(slice(start, start + len(array)), *inside)] = array
        start += len(array)
    return joined
