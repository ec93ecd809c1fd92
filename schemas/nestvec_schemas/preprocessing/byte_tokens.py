"""Text to ids without a vocabulary: an id for each byte or each code point, and few special ones.

``bytes`` is ByT5's (Xue et al. 2022), ``codepoints`` CANINE's (Clark et al. 2022). What a text spells is
never a special token: ``</s>`` in a text is four bytes, as in T5's own ByteVocabulary, while transformers'
ByT5Tokenizer makes an end of it. Nothing is normalised: an accent composed and one apart differ.
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
    """How a text becomes ids: the units of its text as ``codec`` writes it, ``offset`` added to each.

    ``unit`` is the dtype of one unit and ``errors`` what the codec does with half of a surrogate pair.
    ``before`` and ``after`` stand around every text, ``names`` is how they are spelled, ``pad`` fills a
    batch, and ids are below ``vocabulary``.
    """

    name: str
    codec: str
    unit: str
    errors: str
    offset: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    names: tuple[tuple[int, str], ...]
    pad: int
    vocabulary: int

    @property
    def special(self) -> int:
        """How many ids stand around a text."""
        return len(self.before) + len(self.after)


UNIT_SCHEMES: Final[dict[str, UnitScheme]] = {
    # 3 special ids, 256 bytes, and 125 sentinels that ByT5 was trained with and no text has.
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
    """One id of a text: of the character from ``start`` to ``stop``, None where a special one stands."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


def encode_units(text: str, scheme: UnitScheme, max_tokens: int, side: Side = "right") -> tuple[Ids, int]:
    """The text's ids, (t,) int64 with the special ones, and their number before they were cut.

    t is at most ``max_tokens``: units are cut on ``side``, special ids never. A cut may part the bytes of
    one character. Raises ManifestCorrupt where ``max_tokens`` leaves no room for text.
    """
    units, room = _units(text, scheme), _max_units(scheme, max_tokens)
    units_kept = units[:room] if side == "right" else units[max(0, len(units) - room) :]
    return _with_special_ids(units_kept, scheme), len(units) + scheme.special


def split_units(text: str, scheme: UnitScheme, max_tokens: int) -> list[Ids]:
    """All of the text's ids in chunks of at most ``max_tokens``, special ones around each; one if empty.

    Raises ManifestCorrupt where ``max_tokens`` leaves no room for text.
    """
    units, room = _units(text, scheme), _max_units(scheme, max_tokens)
    starts = range(0, max(1, len(units)), room)
    return [_with_special_ids(units[start : start + room], scheme) for start in starts]


def character_tokens(text: str, scheme: UnitScheme, *, special: bool = True) -> list[CharacterToken]:
    """Each id of the text with its character, none cut: every byte of a character carries all of it.

    Half of a surrogate pair is spelled ``?``, as no answer can carry it. Without special ids where
    ``special`` is false.
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
    """How many units fit beside the special ids. Raises ManifestCorrupt where that is none."""
    if max_tokens <= scheme.special:
        raise ManifestCorrupt(
            f"an encoder of {scheme.name} has room for no text beside {scheme.special} special tokens",
            value=max_tokens,
            next_step=f"Export it again with {scheme.special + 1} tokens or more.",
        )
    return max_tokens - scheme.special
