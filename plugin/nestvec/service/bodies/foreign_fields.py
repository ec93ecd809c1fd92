"""Fields of other embedding servers that change what those return, by what they mean there.

They are of TEI, Infinity, vLLM, OpenAI, Cohere, Voyage AI, Jina, Hugging Face, NVIDIA, Nomic, Gemini, Ollama
and sentence-transformers. A path that ignored such a field would give another result than the client means.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Returned = Literal["vectors", "token vectors", "sparse vectors", "scores", "tokens"]
"""What a path returns."""

_VECTORS: Final[tuple[Returned, ...]] = ("vectors", "token vectors", "sparse vectors")
_ALL: Final[tuple[Returned, ...]] = (*_VECTORS, "scores")


@dataclass(frozen=True)
class Meaning:
    """What several names mean."""

    what: str
    """What they set, in the words of an error."""

    names: frozenset[str]
    """In lower case, without underscores and hyphens."""
    returned: tuple[Returned, ...]
    """Where it matters."""
    harmless: tuple[object, ...]
    """Values that ask for what is returned anyway."""
    next_step: str


def _meaning(
    what: str,
    names: str,
    returned: tuple[Returned, ...],
    harmless: tuple[object, ...] = (),
    next_step: str = "Omit it.",
) -> Meaning:
    return Meaning(what, frozenset(names.split()), returned, harmless, next_step)


_PROMPT_STEP: Final = "Name a prompt of the encoder, see /info: prompt= in the query string."

_LENGTH: Final = _meaning(
    "the length of vectors",
    "matryoshkadim truncatedim vectordim vectorsize dim dims ndims dimension dimensions dimensionality "
    "outputdim outputdimension outputdimensions outputdimensionality embeddingdim embeddingdims "
    "embeddingsize embeddingdimension embeddingdimensions",
    _VECTORS,
    next_step="Omit it: these vectors have one length.",
)

_NORMALISED: Final = _meaning(
    "whether vectors are normalised",
    "normalize normalise normalized normalised normalizeembeddings normaliseembeddings l2normalize "
    "normalizevectors useactivation activation",
    ("vectors",),
    harmless=(True,),
    next_step="Send it to /embed or /v1/embeddings.",
)

_PROMPT: Final = _meaning(
    "a prompt",
    "prompt promptname prompts defaultpromptname queryprompt documentprompt instruction instructions "
    "instruct queryinstruction documentinstruction textinstruction",
    (*_ALL, "tokens"),
    next_step=_PROMPT_STEP,
)

_MEANINGS: Final = (
    _LENGTH,
    _NORMALISED,
    _meaning(
        "whether scores are from 0 to 1",
        "normalize normalise normalized useactivation activation",
        ("scores",),
        harmless=(True,),
        next_step="Rerank with raw_scores.",
    ),
    _meaning("whether scores are from 0 to 1", "rawscores", ("scores",), harmless=(False,)),
    _PROMPT,
    _meaning(
        "what the texts are for",
        "inputtype tasktype task taskid texttype embeddingtask modeltask isquery",
        (*_VECTORS, "tokens"),
        harmless=("embed", "feature-extraction"),
        next_step=_PROMPT_STEP,
    ),
    _meaning(
        "what happens to long texts",
        "truncate truncation truncates truncationstrategy autotruncate truncateatmaximumlength "
        "truncateprompttokens longtextmode",
        _ALL,
        next_step="Send overlong= in the query string: error, truncate or mean.",
    ),
    _meaning("the side on which long texts are cut", "truncationdirection truncationside", _ALL),
    _meaning("how texts are cut into chunks", "latechunking enableautochunking", _ALL, harmless=(False,)),
    _meaning(
        "how many tokens of a text count",
        "maxlength maxtokens maxseqlength maxinputtokens maxinputlength truncatelength numctx",
        _ALL,
        next_step="Omit it, or send shorter texts.",
    ),
    _meaning(
        "the type of numbers",
        "encodingformat encoding embeddingtype embeddingtypes embeddingdtype embeddtype outputdtype "
        "outputtype dtype precision quantization",
        _VECTORS,
        harmless=("float", "float32", "fp32", ["float"], "dense"),
        next_step="Call /v1/embeddings with output_dtype, or /v2/embed with embedding_types.",
    ),
    _meaning("the order of bytes", "endianness", _VECTORS, harmless=("native", "little")),
    _meaning(
        "how token vectors are pooled",
        "pooling poolingtype poolingmode poolingmethod poolingstrategy poolingparams",
        _VECTORS,
        next_step="Omit it: the encoder's own pooling is in /info.",
    ),
    _meaning(
        "the kind of vectors",
        "returnmultivector returnsparse returncolbertvecs sparse",
        ("vectors",),
        harmless=(False,),
        next_step="Call /embed_all for a vector of each token, or /embed_sparse.",
    ),
    _meaning("which tokens are added", "addspecialtokens", _ALL, harmless=(True,)),
    _meaning(
        "how a chat is written as a text",
        "chattemplate chattemplatekwargs addgenerationprompt continuefinalmessage mmprocessorkwargs",
        _ALL,
        harmless=(False,),
        next_step="Send the texts as they are to be read.",
    ),
    _meaning(
        "parameters of the encoder",
        "parameters",
        (*_ALL, "tokens"),
        next_step="Send them as fields of the body, or in the query string.",
    ),
)

_OF_QUERY_STRING: Final = _meaning(
    "what the query string sets",
    "encoder expert fingerprint overlong onerror modality exit layer layers",
    (*_ALL, "tokens"),
    next_step="Send it in the query string, see /docs.",
)

_NOTHING: Final[tuple[object, ...]] = (None, "", [], {})


def plain_name(name: str) -> str:
    """A field's name as in a meaning's ``names``."""
    return name.replace("_", "").replace("-", "").lower()


def foreign_meaning(name: str, value: object, returned: Returned) -> Meaning | None:
    """What a field that a path does not have means elsewhere, if it would change what the path returns."""
    plain = plain_name(name)
    for meaning in (*_MEANINGS, _OF_QUERY_STRING):
        if plain in meaning.names and returned in meaning.returned:
            return None if _is_among(value, (*_NOTHING, *meaning.harmless)) else meaning
    return None


def same_meaning(name: str, fields: Iterable[str], *, always: bool = False) -> list[str]:
    """Those of ``fields`` that mean what ``name`` does in one API or another; ``always``, whatever it is."""
    plain = plain_name(name)
    meanings = (_LENGTH, _NORMALISED, _PROMPT) if always else _MEANINGS
    groups = [meaning.names for meaning in meanings if plain in meaning.names]
    return [field for field in fields if any(plain_name(field) in names for names in groups)]


def _is_among(value: object, values: Iterable[object]) -> bool:
    return any(type(value) is type(same) and value == same for same in values)
