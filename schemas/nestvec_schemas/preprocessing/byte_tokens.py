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
class Scheme:
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


SCHEMES: Final[dict[str, Scheme]] = {
    # 3 special ids, 256 bytes, and 125 sentinels that ByT5 was trained with and no text has.
    "bytes": Scheme(
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
    "codepoints": Scheme(
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


class Spelled(NamedTuple):
    """One id of a text: of the character from ``start`` to ``stop``, None where a special one stands."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


def encode(text: str, scheme: Scheme, max_tokens: int, side: Side = "right") -> tuple[Ids, int]:
    """The text's ids, (t,) int64 with the special ones, and their number before they were cut.

    t is at most ``max_tokens``: units are cut on ``side``, special ids never. A cut may part the bytes of
    one character. Raises ManifestCorrupt where ``max_tokens`` leaves no room for text.
    """
    units, room = _units(text, scheme), _room(scheme, max_tokens)
    kept = units[:room] if side == "right" else units[max(0, len(units) - room) :]
    return _framed(kept, scheme), len(units) + scheme.special


def split(text: str, scheme: Scheme, max_tokens: int) -> list[Ids]:
    """All of the text's ids in chunks of at most ``max_tokens``, special ones around each; one if empty.

    Raises ManifestCorrupt where ``max_tokens`` leaves no room for text.
    """
    units, room = _units(text, scheme), _room(scheme, max_tokens)
    starts = range(0, max(1, len(units)), room)
    return [_framed(units[start : start + room], scheme) for start in starts]


def spell(text: str, scheme: Scheme, *, special: bool = True) -> list[Spelled]:
    """Each id of the text with its character, none cut: every byte of a character carries all of it.

    Half of a surrogate pair is spelled ``?``, as no answer can carry it. Without special ids where
    ``special`` is false.
    """
    rows = [
        Spelled(int(unit) + scheme.offset, _writable(character), False, at, at + 1)
        for at, character in enumerate(text)
        for unit in _units(character, scheme)
    ]
    return [*_special(scheme.before, scheme), *rows, *_special(scheme.after, scheme)] if special else rows


def _units(text: str, scheme: Scheme) -> NDArray[np.unsignedinteger]:
    return np.frombuffer(text.encode(scheme.codec, scheme.errors), scheme.unit)


def _framed(units: NDArray[np.unsignedinteger], scheme: Scheme) -> Ids:
    ids = np.empty(len(units) + scheme.special, np.int64)
    first = len(scheme.before)
    ids[:first] = scheme.before
    ids[first : first + len(units)] = units
    ids[first : first + len(units)] += scheme.offset
    ids[first + len(units) :] = scheme.after
    return ids


def _special(ids: tuple[int, ...], scheme: Scheme) -> list[Spelled]:
    names = dict(scheme.names)
    return [Spelled(one, names[one], True, None, None) for one in ids]


def _writable(character: str) -> str:
    return character.encode("utf-8", "replace").decode("utf-8")


def _room(scheme: Scheme, max_tokens: int) -> int:
    """How many units fit beside the special ids. Raises ManifestCorrupt where that is none."""
    if max_tokens <= scheme.special:
        raise ManifestCorrupt(
            f"an encoder of {scheme.name} has room for no text beside {scheme.special} special tokens",
            value=max_tokens,
            next_step=f"Export it again with {scheme.special + 1} tokens or more.",
        )
    return max_tokens - scheme.special
