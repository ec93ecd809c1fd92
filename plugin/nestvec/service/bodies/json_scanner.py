"""Reads JSON from bytes in bounded steps, so that no step keeps Python's interpreter lock for long.

A parser in C would hold the lock, and with it the event loop, for as long as a whole body takes, and would
have built every value before the first of them could be checked. Here one call into C covers at most
``STEP`` bytes, whatever they hold, and what is read is checked before more is.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator
from typing import Any, Final

import orjson

from nestvec_schemas.errors import BodyInvalid, BodyNotJson, InputTooLong

STEP: Final = 64 << 10
"""Bytes that one call into C covers at most."""

MAX_VALUE_BYTES: Final = 16 << 10
"""Bytes of a value that is neither texts nor ids, such as an option of the request."""

MAX_NUMBER_BYTES: Final = 64

EXAMPLE: Final = 'Send an object, for example {"inputs": ["text"]} to /embed.'
SCHEMAS: Final = "The schemas are at /docs."

_MAX_QUOTES: Final = 32
"""Escaped quotes in a string that are stepped over before it is read in parts."""

_SPACE: Final = re.compile(rb"[ \t\n\r]*+")
_STRING_PART: Final = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_ID: Final = re.compile(rb"-?(?:0|[1-9][0-9]{0,9})(?![0-9.eE])")
_CONSTANTS: Final[dict[bytes, object]] = {b"null": None, b"true": True, b"false": False}
_CONSTANT: Final = re.compile(rb"null|true|false")
_NUMBER: Final = re.compile(rb"-?(?:0|[1-9][0-9]*+)(\.[0-9]++)?([eE][+-]?[0-9]++)?")
_NOT_JSON_NUMBERS: Final = (b"NaN", b"Infinity", b"-Infinity")


class JsonScanner:
    """A position in a body, and the readers of what stands there.

    Each reader begins at the value's first byte and ends after its last. ``where`` names the value in
    errors: ``body.inputs[3]``. Raises BodyNotJson, with the offset of the byte, BodyInvalid, InputTooLong.
    """

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data
        self.size = len(data)
        self.position = 3 if data[:3] == b"\xef\xbb\xbf" else 0

    def skip_space(self) -> int:
        """Go to the next byte that is no white space, and return it; -1 at the end."""
        while True:
            end = self._end_of(_SPACE)
            if end < self.size and end == self.position + STEP:
                self.position = end
                continue
            self.position = end
            return self._data[end] if end < self.size else -1

    def expect(self, *characters: bytes) -> bytes:
        """Read one of these characters, after white space."""
        byte = self.skip_space()
        for character in characters:
            if byte == character[0]:
                self.position += 1
                return character
        raise self.not_json(" or ".join(character.decode() for character in characters))

    def kind(self) -> str:
        """What kind of value begins here, after white space, in words that complete "this is". Raises
        BodyNotJson if none does."""
        byte = self.skip_space()
        start = bytes(self._data[self.position : self.position + 9])
        kinds = {b'"': "a text", b"[": "a list", b"{": "an object", b"n": "null", b"t": "true", b"f": "false"}
        kind = kinds.get(start[:1])
        if byte == -1 or start.startswith(_NOT_JSON_NUMBERS):
            raise self.not_json("a value")
        if kind is not None and (len(kind) > 5 or start.startswith(kind.encode())):
            return kind
        number = _NUMBER.match(self._data, self.position, self.position + STEP)
        if number is None:
            raise self.not_json("a value")
        return "a number with a fraction or an exponent" if number[1] or number[2] else "a number"

    def null(self) -> bool:
        """Read a null, after white space, if it is next."""
        self.skip_space()
        is_null = self._data[self.position : self.position + 4] == b"null"
        self.position += 4 * is_null
        return is_null

    def starts_with(self, byte: bytes) -> bool:
        """Whether this is the next byte after white space."""
        return self.skip_space() == byte[0]

    def starts_list_of(self, byte: bytes) -> bool:
        """Whether a list is next whose first item begins with this byte."""
        if not self.starts_with(b"["):
            return False
        start, self.position = self.position, self.position + 1
        starts = self.starts_with(byte)
        self.position = start
        return starts

    def has_before(self, content: bytes, end: int) -> bool:
        """Whether ``content`` is between here and the offset ``end``."""
        return self._data.find(content, self.position, end) >= 0

    def end(self) -> None:
        """Raise BodyNotJson unless nothing follows."""
        if self.skip_space() != -1:
            raise self.not_json("the end")

    def string(self, where: str, max_characters: int, holder: str = "a text") -> str:
        """A string; ``holder`` is what has at most ``max_characters``."""
        text = self.short_string()
        if text is None:
            text = self._long_string(where, max_characters, holder)
        if len(text) > max_characters:
            raise too_many(where, "characters", len(text), max_characters, holder)
        return text

    def short_string(self) -> str | None:
        """A string of at most a step with few escaped quotes; None, and nothing is read, for another."""
        start, limit = self.position, self.position + STEP
        quote = start
        for _ in range(_MAX_QUOTES):
            quote = self._data.find(b'"', quote + 1, limit)
            if quote < 0:
                return None
            before = (
                self._data[max(start + 1, quote - STEP) : quote] if self._data[quote - 1] == 0x5C else b""
            )
            if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
                break
        else:
            return None
        try:
            text: str = orjson.loads(self._data[start : quote + 1])
        except ValueError:  # a fault, or a surrogate alone, which JSON allows
            return None
        self.position = quote + 1
        return text

    def items(self, kind: type, last: bytes) -> tuple[list[Any], bool]:
        """Items of a list from here, and whether they are its last: many at once, if they lie within a step.

        There are none unless they are strings, or integers, as ``kind`` says; ``last`` is how the last byte
        of an item, if it has a certain one, and the end of the list look. What is read ends after the comma
        that follows it, or after the list.
        """
        start, limit = self.position, self.position + STEP
        # A cut within a string, or behind the list, leaves something that is not a list: it does not load.
        for find, what in ((self._data.rfind, last[:-1] + b","), (self._data.find, last)):
            cut = find(what, start, limit)
            end = cut + len(last) - 1
            if cut < 0:
                continue
            try:
                values = orjson.loads(b"[" + self._data[start:end] + b"]")
            except ValueError:
                continue
            if set(map(type, values)) == {kind}:
                self.position = end + 1
                return values, self._data[end] == last[-1]
        return [], False

    def id(self, where: str) -> int:
        """An integer of at most ten digits."""
        number = _ID.match(self._data, self.position, self.position + STEP)
        if number is None:
            raise invalid(where, f"{self.kind()}, not a token id")
        self.position = number.end()
        return int(number[0])

    def value(self, where: str) -> Any:
        """Any value of at most MAX_VALUE_BYTES."""
        byte = self.skip_space()
        if byte == ord('"'):
            return self.string(where, MAX_VALUE_BYTES, "an option")
        if byte in (ord("["), ord("{")):
            return self._nested(where)
        constant = _CONSTANT.match(self._data, self.position)
        if constant is not None:
            self.position = constant.end()
            return _CONSTANTS[constant[0]]
        return self._number(where)

    def not_json(self, expected: str, position: int | None = None) -> BodyNotJson:
        """The error about the byte at ``position``, or here, which is not what JSON has there."""
        offset = self.position if position is None else position
        cause = "the body is not JSON"
        if offset >= self.size:
            value = f"it ends after {self.size} bytes, where {expected} is expected"
        else:
            value = f"byte {offset} is {_shown(self._data[offset])}, where {expected} is expected"
        return BodyNotJson(cause, value=value, next_step=EXAMPLE)

    def _end_of(self, pattern: re.Pattern[bytes]) -> int:
        match = pattern.match(self._data, self.position, self.position + STEP)
        return -1 if match is None else match.end()

    def _decode(self, part: bytes | bytearray, start: int) -> str:
        try:
            return part.decode()
        except UnicodeDecodeError as error:
            raise BodyNotJson(
                "the body is not JSON",
                value=f"byte {start + error.start} is not UTF-8",
                next_step="Send UTF-8.",
            ) from error

    def _long_string(self, where: str, max_characters: int, holder: str) -> str:
        """A string with escapes, or longer than a step."""
        parts: list[str] = []
        characters = 0
        self.position += 1
        for part in self._string_parts():
            if parts and _is_pair(parts[-1][-1], part[0]):
                high, parts[-1] = parts[-1][-1], parts[-1][:-1]
                part = (high + part[0]).encode("utf-16", "surrogatepass").decode("utf-16") + part[1:]
            parts.append(part)
            characters += len(part)
            if characters > max_characters:
                raise too_many(where, "characters", f"{characters} or more", max_characters, holder)
        return parts[0] if len(parts) == 1 else "".join(parts)

    def _string_parts(self) -> Iterator[str]:
        """The parts of a string's content, none of them empty; the position is after the quote in the end."""
        while True:
            start, end = self.position, self._end_of(_STRING_PART)
            if end == start + STEP and end < self.size:  # not in the middle of a character
                end -= next((n for n in range(4) if self._data[end - n] & 0xC0 != 0x80), 0)
            if end == start:
                break
            part = self._data[start:end]
            decoded = self._decode(part, start)
            self.position = end
            yield json.loads(f'"{decoded}"') if b"\\" in part else decoded
        if self._data[self.position : self.position + 1] != b'"':
            raise self.not_json("the rest of a string")
        self.position += 1

    def _number(self, where: str) -> int | float:
        number = _NUMBER.match(self._data, self.position, self.position + MAX_NUMBER_BYTES + 1)
        if number is None:
            raise self.not_json("a value")
        if number.end() - self.position > MAX_NUMBER_BYTES:
            raise invalid(where, f"a number of more than {MAX_NUMBER_BYTES} characters")
        self.position = number.end()
        return float(number[0]) if number[1] or number[2] else int(number[0])

    def _nested(self, where: str) -> Any:
        start = self.position
        is_rest = start + MAX_VALUE_BYTES >= self.size
        # Bytes that are not UTF-8 may follow the value, and a character may be cut: both are checked below.
        text = self._data[start : start + MAX_VALUE_BYTES].decode("utf-8", "surrogateescape")
        try:
            value, end = _DECODER.raw_decode(text)
        except RecursionError as error:
            raise invalid(where, "nested too deeply") from error
        except json.JSONDecodeError as error:
            position = start + len(text[: error.pos].encode("utf-8", "surrogateescape"))
            if not is_rest:
                raise invalid(where, f"not JSON, or longer than {MAX_VALUE_BYTES} bytes") from error
            raise self.not_json("another value or delimiter", position) from error
        except ValueError as error:
            raise invalid(where, str(error)) from error
        part = text[:end].encode("utf-8", "surrogateescape")
        self._decode(part, start)
        self.position = start + len(part)
        return value


def too_many(where: str, what: str, count: int | str, limit: int, holder: str) -> InputTooLong:
    """The error about ``count`` characters or token ids, of which ``holder`` may have ``limit``."""
    return InputTooLong(
        f"{where} has too many {what}: {holder} has at most {limit}",
        value=count,
        next_step="Shorten the texts, or split the request into several.",
    )


def invalid(where: str, value: str) -> BodyInvalid:
    """The error about the value of a field."""
    return BodyInvalid(f"{where} is invalid", value=value, next_step=SCHEMAS)


def as_array(ids: list[int], where: str, first: int = 0) -> array[int]:
    """Token ids in four bytes each; ``first`` is the position of the first of them."""
    try:
        return array("i", ids)
    except OverflowError as error:
        place, value = next((n, v) for n, v in enumerate(ids, first) if not -(2**31) <= v < 2**31)
        raise invalid(f"{where}[{place}]", f"{value}, not a token id") from error


def _is_pair(high: str, low: str) -> bool:
    return "\ud800" <= high <= "\udbff" and "\udc00" <= low <= "\udfff"


def _shown(byte: int) -> str:
    return repr(chr(byte)) if 0x20 < byte < 0x7F else f"0x{byte:02x}"


def _bounded_number(kind: type[int] | type[float], digits: str) -> int | float:
    if len(digits) > MAX_NUMBER_BYTES:
        raise ValueError(f"a number of more than {MAX_NUMBER_BYTES} characters")
    return kind(digits)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name}, which JSON does not have")


def _without_repeated_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name is there twice")
    return fields


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_without_repeated_names,
    parse_int=lambda digits: _bounded_number(int, digits),
    parse_float=lambda digits: _bounded_number(float, digits),
    parse_constant=_refuse_constant,
)
