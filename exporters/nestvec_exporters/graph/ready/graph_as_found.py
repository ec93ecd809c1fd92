"""A ready graph as it was found, in ONNX Runtime, one input at a time, with numpy after it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import onnxruntime
from tokenizers import Tokenizer, normalizers

from nestvec_exporters.graph.ready.numpy_modules import NumpyHead, read_numpy_head, unit
from nestvec_exporters.graph.ready.ready_graph import ReadyGraph
from nestvec_exporters.graph.ready.text import sentence_settings
from nestvec_exporters.probes.pairs import TYPE_IDS
from nestvec_schemas.errors import CheckpointUnsupported, VerificationFailed
from nestvec_schemas.late_interaction import KEEP_INPUT, token_arrays
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import TOKENIZER

_SAME_SENTENCE: Final[float] = 0.99
"""The cosine of a graph's own sentence vector with that of the declared modules."""


class GraphAsFound:
    """The graph, its checkpoint's tokenizer and its declared modules."""

    def __init__(self, source: ReadyGraph, pooling: str | None) -> None:
        self.source, self.pooling = source, pooling
        self.side = "right"
        self.tokenizer = self._read_tokenizer()
        self.head: NumpyHead = read_numpy_head(source.folder.home.folder, pooling)

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """The graph in ONNX Runtime."""
        return self.source.graph.session()

    def outputs(self, inputs: Sequence[Any], max_tokens: int, prompt: str = "") -> list[Array]:
        """What it gives for texts or pairs, float32; ``prompt`` precedes each of them."""
        self.tokenizer.enable_truncation(max_tokens, strategy="longest_first", direction=self.side)
        tokens = self._prompt_tokens(prompt) if prompt else 0
        return [np.asarray(self._output(self._arrays(value, prompt), tokens), np.float32) for value in inputs]

    def count(self, text: str) -> int:
        """A text's tokens without truncation."""
        self.tokenizer.no_truncation()
        return len(self.tokenizer.encode(text))

    def _arrays(self, value: Any, prompt: str) -> dict[str, Array]:
        inputs = (value,) if isinstance(value, str) else tuple(value)
        encoding = self.tokenizer.encode(f"{prompt}{inputs[0]}", *inputs[1:])
        ids = np.asarray(encoding.ids, np.int64)
        if self.source.kind == "multivector":
            arrays = token_arrays(ids, self.source.interaction)
            return {**arrays, TYPE_IDS: np.zeros_like(arrays["input_ids"])}
        types = np.asarray(encoding.type_ids, np.int64)
        if self.source.kind == "dense":
            types = np.zeros_like(types)
        return {"input_ids": ids, "attention_mask": np.ones_like(ids), TYPE_IDS: types}

    def _output(self, arrays: dict[str, Array], prompt: int) -> Array:
        graph, kind = self.source.graph, self.source.kind
        feeds = graph.feeds({name: array[None] for name, array in arrays.items()})
        names = [graph.output, *([graph.sentence_output] if self._checks_sentence else [])]
        try:
            output, *others = (np.asarray(value[0], np.float64) for value in self.session.run(names, feeds))
        except Exception as error:  # onnxruntime raises classes of its own, without a common root
            raise CheckpointUnsupported(
                f"the graph does not run on a text of {len(arrays['input_ids'])} tokens",
                value=str(error).strip().partition("\n")[0],
                next_step="Give its true limit: --max-tokens.",
            ) from error
        if kind == "multivector":
            is_whole = graph.width == self.source.appended.width
            tokens = output if is_whole and len(self.source.appended.before) < 2 else self.head.tokens(output)
            return unit(tokens[arrays[KEEP_INPUT] > 0])
        if kind == "reranker":
            return output
        if graph.gives_tokens:
            vector = self.head.pooled(output, prompt)
            self._check_sentence(vector, others)
            output = vector
        return unit(output) if self.source.normalised else output

    @property
    def _checks_sentence(self) -> bool:
        source = self.source
        return source.graph.sentence_output is not None and source.graph.gives_tokens and self.pooling is None

    def _check_sentence(self, vector: Array, others: list[Array]) -> None:
        """Raise VerificationFailed where another output, which the graph calls a text's vector, differs."""
        for other in others:
            same = other.shape == vector.shape
            cosine = float(unit(vector) @ unit(other)) if same else 0.0
            if cosine < _SAME_SENTENCE:
                raise VerificationFailed(
                    f"the graph's own {self.source.graph.sentence_output} is not what the modules of its "
                    "checkpoint make of its token vectors",
                    value=f"cosine {cosine:.4f}"
                    if same
                    else f"{other.shape[0]} dims, {vector.shape[0]} dims",
                    next_step=f"Take it as it is: --onnx-output {self.source.graph.sentence_output}.",
                )

    def _prompt_tokens(self, prompt: str) -> int:
        """A prompt's tokens, as sentence-transformers counts them: alone, without an end token."""
        ids = self.tokenizer.encode(prompt).ids
        last = self.tokenizer.get_added_tokens_decoder().get(ids[-1]) if ids else None
        return len(ids) - (last is not None and last.special)

    def _read_tokenizer(self) -> Tokenizer:
        """By transformers' own class, as sentence-transformers does, where both it and a configuration of the
        tokenizer are there; lowercasing as sentence-transformers adds it."""
        folder = self.source.folder
        if self.source.kind == "multivector":  # whose markers are special tokens
            return Tokenizer.from_str(self.source.text.tokenizer.to_str())
        if (folder.tokenizer / "tokenizer_config.json").is_file() and _has_transformers():
            from transformers import AutoTokenizer  # noqa: PLC0415 - seconds of imports

            loaded: Any = AutoTokenizer.from_pretrained(
                str(folder.tokenizer), local_files_only=True, trust_remote_code=False
            )
            tokenizer: Tokenizer = loaded.backend_tokenizer
            self.side = str(loaded.truncation_side)
        else:
            tokenizer = Tokenizer.from_file(str(folder.tokenizer / TOKENIZER))
            self.side = str((tokenizer.truncation or {}).get("direction", "right")).lower()
        tokenizer.no_padding()
        if sentence_settings(folder).get("do_lower_case"):
            own = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
            tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
        return tokenizer


def _has_transformers() -> bool:
    try:
        return find_spec("transformers") is not None
    except ValueError:  # it is blocked
        return False
