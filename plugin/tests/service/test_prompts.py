"""Which prompt goes before a text, for any set of prompts: as sentence-transformers resolves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize

from nestvec.service.encoders import LoadedEncoder, open_encoder
from nestvec.service.preprocess.inputs import ModelInput, UnpromptedText
from nestvec.service.preprocess.prepare import tokenize_inputs
from nestvec.service.preprocess.truncation import Truncation
from nestvec.service.prompts import NO_PROMPT, choose_prompt, put_prompt
from nestvec_exporters.checkpoints.prompts import named_prompts
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import PromptNotOffered
from nestvec_schemas.towers import COUNT_ALL

NAMES = st.sampled_from(["query", "document", "s2p_query", "passage", "STS", "Clustering", "a b", "é"])
TEXTS = st.sampled_from(["", "x: ", "y: ", "x: y: "])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory, write_into: Callable[..., Path]) -> LoadedEncoder:
    return open_encoder(write_into(tmp_path_factory.mktemp("models")))


def prompted(encoder: LoadedEncoder, text: str, name: str | None, config: EmbeddingConfig) -> str:
    choice = choose_prompt(encoder.manifest, name, config)
    (value,) = put_prompt([text], choice, encoder)
    return str(value)


@given(st.dictionaries(NAMES, TEXTS), st.none() | NAMES, st.none() | NAMES)
def test_a_text_has_the_prompt_that_the_library_puts_before_it(
    encoder: LoadedEncoder, own: dict[str, str], default: str | None, name: str | None
) -> None:
    if default is not None and default not in own:
        default = None
    library = SentenceTransformer(
        modules=[Normalize()], prompts=own, default_prompt_name=default, device="cpu"
    )
    prompts = named_prompts(library.prompts, library.default_prompt_name)
    update = {"prompts": dict(prompts), "default_prompt": prompts.default}
    served = LoadedEncoder(encoder.manifest.model_copy(update=update), encoder.tokenizer)
    if name is not None and name not in library.prompts:
        with pytest.raises(PromptNotOffered):
            prompted(served, "w", name, EmbeddingConfig())
        return
    if name in ("query", "document") and not own.get(name):
        return  # another prompt may have this role
    expected = f"{library._resolve_prompt(None, name) or ''}w"
    assert prompted(served, "w", name, EmbeddingConfig()) == expected
    if name is not None:
        assert prompted(served, "w", None, EmbeddingConfig(prompt=name)) == expected
    assert prompted(served, "w", NO_PROMPT, EmbeddingConfig()) == "w"
    assert prompted(served, "w", None, EmbeddingConfig(prompt=NO_PROMPT)) == "w"


def test_a_text_without_a_prompt_that_starts_like_one_is_known_as_such(encoder: LoadedEncoder) -> None:
    manifest = encoder.manifest
    for name, config, known in (
        (NO_PROMPT, EmbeddingConfig(), True),
        ("document", EmbeddingConfig(), True),
        (None, EmbeddingConfig(prompt=NO_PROMPT), False),  # what Milvus sends may have a prompt of its own
        (None, EmbeddingConfig(), False),
        ("query", EmbeddingConfig(), False),
    ):
        (value,) = put_prompt(["w1 w2"], choose_prompt(manifest, name, config), encoder)
        assert isinstance(value, UnpromptedText) == known, (name, config)
    (plain,) = put_prompt(["w2"], choose_prompt(manifest, NO_PROMPT, EmbeddingConfig()), encoder)
    assert not isinstance(plain, UnpromptedText)


def test_a_text_with_the_tokens_of_a_prompt_but_not_its_characters_counts_whole(
    encoder: LoadedEncoder,
) -> None:
    """The tokenizer ignores white space, as others do capitals: only characters say that it is a prompt."""
    tower = encoder.manifest.main_tower.model_copy(update={"omits_prompts": True})
    served = LoadedEncoder(encoder.manifest.model_copy(update={"towers": {"text": tower}}), encoder.tokenizer)
    prompted, padded, other = tokenize_inputs(served, ["w1 w2", " w1 w2", "w2"], Truncation())
    assert isinstance(prompted, ModelInput) and "attention_mask" not in prompted.arrays
    for whole in (padded, other):
        assert isinstance(whole, ModelInput)
        assert set(whole.arrays["attention_mask"].tolist()) == {COUNT_ALL}
