"""Token ids without a vocabulary: one for each byte or code point, and a few special ones.

``bytes`` is ByT5's (Xue et al. 2022), ``codepoints`` CANINE's (Clark et al. 2022). A text never contains
special tokens: ``</s>`` in a text is four bytes, as in T5's own ByteVocabulary, while transformers'
ByT5Tokenizer reads it as the end token. Nothing is normalised: a composed accent differs from a combining
one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nestvec_schemas.errors import ManifestCorrupt

Ids = NDArray[np.int64]
Side = Literal["right", "left"]


@dataclass(frozen=True)
class UnitScheme:
    """How a text becomes ids."""

    name: str
    codec: str
    """The codec whose units become ids."""

    unit: str
    """The dtype of one unit."""

    errors: str
    """What the codec does with half of a surrogate pair."""

    offset: int
    """Added to each unit."""

    before: tuple[int, ...]
    """Special ids before every text."""

    after: tuple[int, ...]
    """Special ids after every text."""

    names: tuple[tuple[int, str], ...]
    """How the special ids are spelled."""

    pad: int
    """The id that pads a batch."""

    vocabulary: int
    """The number of ids: all are below it."""

    @property
    def special(self) -> int:
        """The number of special ids around a text."""
        return len(self.before) + len(self.after)


UNIT_SCHEMES: Final[dict[str, UnitScheme]] = {
    # 3 special ids, 256 bytes, and 125 sentinels of ByT5's training that no text contains.
    "bytes": UnitScheme(
        name="bytes",
        codec="utf-8",
        unit="u1",
        errors="replace",
        offset=3,
        before=(),
        after=(1,),
        names=((1, "</s>"),),
        pad=0,
        vocabulary=384,
    ),
    "codepoints": UnitScheme(
        name="codepoints",
        codec="utf-32-le",
        unit="<u4",
        errors="surrogatepass",
        offset=0,
        before=(0xE000,),
        after=(0xE001,),
        names=((0xE000, "[CLS]"), (0xE001, "[SEP]")),
        pad=0,
        vocabulary=0x110000,
    ),
}


class CharacterToken(NamedTuple):
    """One id of a text: that of the character from ``start`` to ``stop``, which are None for a special id."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


def encode_units(text: str, scheme: UnitScheme, max_tokens: int, side: Side = "right") -> tuple[Ids, int]:
    """The text's ids, (t,) int64 with the special ones, and their number before truncation.

    t is at most ``max_tokens``: units are removed on ``side``, special ids never. Truncation may split the
    bytes of one character. Raises ManifestCorrupt if ``max_tokens`` leaves no room for text.
    """
    units, room = _units(text, scheme), _max_units(scheme, max_tokens)
    units_kept = units[:room] if side == "right" else units[max(0, len(units) - room) :]
    return _with_special_ids(units_kept, scheme), len(units) + scheme.special


def split_units(text: str, scheme: UnitScheme, max_tokens: int) -> list[Ids]:
    """All of the text's ids in chunks of at most ``max_tokens``, each with special ids; an empty text has
    one chunk.

    Raises ManifestCorrupt if ``max_tokens`` leaves no room for text.
    """
    units, room = _units(text, scheme), _max_units(scheme, max_tokens)
    starts = range(0, max(1, len(units)), room)
    return [_with_special_ids(units[start : start + room], scheme) for start in starts]


def character_tokens(text: str, scheme: UnitScheme, *, special: bool = True) -> list[CharacterToken]:
    """Each id of the whole text with its character: every byte of a character has all of it.

    Half of a surrogate pair is spelled ``?``, as JSON cannot hold it. Without special ids if ``special``
    is false.
    """
    rows = [
        CharacterToken(int(unit) + scheme.offset, _replace_surrogates(character), False, at, at + 1)
        for at, character in enumerate(text)
        for unit in _units(character, scheme)
    ]
    return (
        [*_special_tokens(scheme.before, scheme), *rows, *_special_tokens(scheme.after, scheme)]
        if special
        else rows
    )


def _units(text: str, scheme: UnitScheme) -> NDArray[np.unsignedinteger]:
    return np.frombuffer(text.encode(scheme.codec, scheme.errors), scheme.unit)


def _with_special_ids(units: NDArray[np.unsignedinteger], scheme: UnitScheme) -> Ids:
    ids = np.empty(len(units) + scheme.special, np.int64)
    first = len(scheme.before)
    ids[:first] = scheme.before
    ids[first : first + len(units)] = units
    ids[first : first + len(units)] += scheme.offset
    ids[first + len(units) :] = scheme.after
    return ids


def _special_tokens(ids: tuple[int, ...], scheme: UnitScheme) -> list[CharacterToken]:
    names = dict(scheme.names)
    return [CharacterToken(token_id, names[token_id], True, None, None) for token_id in ids]


def _replace_surrogates(character: str) -> str:
    return character.encode("utf-8", "replace").decode("utf-8")


def _max_units(scheme: UnitScheme, max_tokens: int) -> int:
    """The number of units that fit beside the special ids. Raises ManifestCorrupt if none does."""
    if max_tokens <= scheme.special:
        raise ManifestCorrupt(
            f"an encoder of {scheme.name} has no room for text beside {scheme.special} special tokens",
            value=max_tokens,
            next_step=f"Export it again with {scheme.special + 1} tokens or more.",
        )
    return max_tokens - scheme.special
