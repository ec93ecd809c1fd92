"""Readers of the fields that hold most of a body: texts, token ids, documents.

Each checks what it reads against the limits before it reads on, and refuses the first fault that it meets.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nestvec.service.bodies.json_scanner import (
    EXAMPLE,
    JsonScanner,
    as_array,
    invalid,
    too_many,
)
from nestvec_schemas.errors import BodyNotJson, TooManyInputs

MAX_FIELDS: Final = 64
"""Fields of one object."""

MAX_BODY_FIELDS: Final = 1 << 18
"""Fields of all objects in one body: the most documents, with four each."""

MAX_NAME_CHARACTERS: Final = 256

_COUNTED_FACTOR: Final = 8
"""Up to this many times the allowed items are counted, so that an error can say how many there are."""

_IMAGE_MARK: Final = b"data:"
_IMAGE_START: Final = 4096
"""Bytes at the beginning of a text in which the mark says that it carries an image: after a prompt, or in a
message."""

_IMAGE_LENGTH: Final = 4096
"""Up to this many characters, a text counts as one without an image, as it fits into a request anyway."""

Read = Callable[["BodyReader", str], Any]
"""Reads a field's value, whose name in errors is the second argument."""


@dataclass(frozen=True)
class InputLimits:
    """How much one request may hold."""

    inputs: int
    """Texts, or lists of token ids."""
    documents: int
    """Documents to rank."""
    text_characters: int
    """Of one text that carries no image."""
    characters: int
    """Of all texts that carry no image."""
    text_ids: int
    """Token ids of one text."""
    ids: int
    """Token ids of all texts."""


class BodyReader:
    """Reads one body, and counts what it holds against the limits."""

    def __init__(self, data: bytes | bytearray, limits: InputLimits) -> None:
        self.scanner, self.limits = JsonScanner(data), limits
        self._characters = self._ids = self._fields = 0

    def body(self, fields: Mapping[str, Read]) -> dict[str, Any]:
        """The body's object: ``fields`` by their readers, every other field as a small value.

        Raises BodyNotJson, BodyInvalid, TooManyInputs, InputTooLong.
        """
        kind = self.scanner.kind()
        if kind != "an object":
            raise BodyNotJson("the body is not a JSON object", value=kind, next_step=EXAMPLE)
        values = self.fields("body", fields)
        self.scanner.end()
        return values

    def fields(self, where: str, readers: Mapping[str, Read]) -> dict[str, Any]:
        """An object's fields. Raises BodyInvalid also for a field that is there twice."""
        scanner = self.scanner
        values: dict[str, Any] = {}
        scanner.expect(b"{")
        if scanner.starts_with(b"}"):
            scanner.position += 1
            return values
        while True:
            if not scanner.starts_with(b'"'):
                raise scanner.not_json("a field's name")
            name = scanner.string(f"a name in {where}", MAX_NAME_CHARACTERS, "a field's name")
            if name in values:
                raise invalid(f"{where}.{name}", "the field is there twice")
            if len(values) == MAX_FIELDS:
                raise invalid(where, f"more than {MAX_FIELDS} fields")
            self._fields += 1
            if self._fields > MAX_BODY_FIELDS:
                raise invalid("body", f"more than {MAX_BODY_FIELDS:,} fields in all objects")
            scanner.expect(b":")
            read = readers.get(name)
            path = f"{where}.{name}"
            values[name] = scanner.value(path) if read is None else read(self, path)
            if scanner.expect(b",", b"}") == b"}":
                return values

    def text(self, where: str) -> str:
        """A text."""
        if not self.scanner.starts_with(b'"'):
            raise invalid(where, f"{self.scanner.kind()}, not a text")
        text = self.scanner.short_string()
        if text is None:
            # What carries an image is only as long as the body may be.
            may_carry_image = self.scanner.has_before(_IMAGE_MARK, self.scanner.position + _IMAGE_START)
            limit = self.scanner.size if may_carry_image else self.limits.text_characters
            text = self.scanner.string(where, limit)
        self._check_texts(where, [text])
        return text

    def texts(self, where: str) -> list[str]:
        """A list of texts."""
        self._expect_list(where, "a list of texts")
        return self._items(where, self.text)

    def text_or_texts(self, where: str) -> str | list[str]:
        """A text, or a list of texts."""
        if self.scanner.starts_with(b'"'):
            return self.text(where)
        self._expect_list(where, "a text or texts")
        return self._items(where, self.text)

    def inputs(self, where: str) -> str | list[str] | array[int] | list[array[int]]:
        """A text, texts, the token ids of a text, or those of several texts; ids are arrays of int32."""
        if self.scanner.starts_with(b'"'):
            return self.text(where)
        self._expect_list(where, "a text, texts, or token ids")
        kind = None if self.scanner.starts_with(b"]") else self.scanner.kind()
        if kind == "a list":
            return self._items(where, self.ids)
        if kind == "a number":
            return self._rest_of_ids(where)
        if kind in ("a text", None):
            return self._items(where, self.text)
        raise invalid(f"{where}[0]", f"{kind}, not a text or token ids")

    def ids(self, where: str) -> array[int]:
        """The token ids of a text, as an array of int32."""
        self._expect_list(where, "token ids")
        return self._rest_of_ids(where)

    def nullable_texts(self, where: str) -> list[str]:
        """A list of texts to rank; a null is read as an empty one."""
        self._expect_list(where, "a list of texts")
        return self._items(where, self._nullable_text, (self.limits.documents, "documents"))

    def objects(self, where: str, read: Callable[[str], Any], max_items: int, expected: str) -> list[Any]:
        """A list of at most ``max_items`` objects, each read by ``read``; ``expected`` names it in errors."""
        self._expect_list(where, expected)
        items: list[Any] = []
        at_end = self._list_ends()
        while not at_end:
            if len(items) == max_items:
                raise too_many(where, "items", f"more than {max_items}", max_items, "a list")
            if not self.scanner.starts_with(b"{"):
                raise invalid(f"{where}[{len(items)}]", f"{self.scanner.kind()}, not an object")
            items.append(read(f"{where}[{len(items)}]"))
            at_end = self.scanner.expect(b",", b"]") == b"]"
        return items

    def documents(self, where: str) -> list[str]:
        """A list of documents: texts, or objects with a ``text``; a null is read as an empty one."""
        self._expect_list(where, "a list of documents")
        return self._items(where, self._document, (self.limits.documents, "documents"))

    def _nullable_text(self, where: str) -> str:
        return "" if self.scanner.null() else self.text(where)

    def _document(self, where: str) -> str:
        if not self.scanner.starts_with(b"{"):
            return self._nullable_text(where)
        values = self.fields(where, {"text": BodyReader._nullable_text})
        if "text" not in values:
            raise invalid(where, "an object without a text")
        text: str = values["text"]
        return text

    def _items(
        self, where: str, read: Callable[[str], Any], limit: tuple[int, str] | None = None
    ) -> list[Any]:
        """The items of a list, after its bracket: by ``read``, or many at once while they are strings;
        ``limit`` says how many of what there may be."""
        items: list[Any] = []
        max_items, name = limit or (self.limits.inputs, "texts")
        strings = read != self.ids
        pace = _Pace()
        at_end = self._list_ends()
        while not at_end and pace.count <= max_items * _COUNTED_FACTOR:
            values, at_end = self.scanner.items(str, b'"]') if strings and pace.allows else ([], False)
            pace.went(len(values))
            if values:
                self._check_texts(where, values, pace.count - len(values))
            else:
                values = [read(f"{where}[{pace.count}]")]
                pace.count += 1
                at_end = self.scanner.expect(b",", b"]") == b"]"
            items += values[: max(0, max_items - len(items))]
        if pace.count > max_items:
            raise TooManyInputs(
                f"a request holds at most {max_items} {name}",
                value=pace.count if at_end else f"more than {pace.count}",
                next_step="Split them over several requests.",
            )
        return items

    def _list_ends(self) -> bool:
        """Read the end of a list, if it is next."""
        ends = self.scanner.starts_with(b"]")
        self.scanner.position += ends
        return ends

    def _check_texts(self, where: str, texts: list[str], first: int | None = None) -> None:
        """Check the lengths of texts; ``first`` is the position of the first in the list, if it is one."""
        lengths = list(map(len, texts))
        longest = max(lengths)
        if longest > _IMAGE_LENGTH:
            lengths = [0 if _carries_image(text) else len(text) for text in texts]
            longest = max(lengths)
        if longest > self.limits.text_characters:
            place = where if first is None else f"{where}[{first + lengths.index(longest)}]"
            raise too_many(place, "characters", longest, self.limits.text_characters, "a text")
        self._characters += sum(lengths)
        if self._characters > self.limits.characters:
            raise too_many(where, "characters", self._characters, self.limits.characters, "a request")

    def _rest_of_ids(self, where: str) -> array[int]:
        """Token ids, after the bracket of their list."""
        ids, pace = array("i"), _Pace()
        at_end = self._list_ends()
        while not at_end:
            values, at_end = self.scanner.items(int, b"]") if pace.allows else ([], False)
            pace.went(len(values))
            if not values:
                values = [self.scanner.id(f"{where}[{pace.count}]")]
                pace.count += 1
                at_end = self.scanner.expect(b",", b"]") == b"]"
            ids += as_array(values, where, len(ids))
            self._count_ids(where, len(values), len(ids))
        return ids

    def _expect_list(self, where: str, expected: str) -> None:
        if not self.scanner.starts_with(b"["):
            raise invalid(where, f"{self.scanner.kind()}, not {expected}")
        self.scanner.position += 1

    def _count_ids(self, where: str, more: int, of_text: int) -> None:
        self._ids += more
        if of_text > self.limits.text_ids:
            raise too_many(where, "token ids", of_text, self.limits.text_ids, "a text")
        if self._ids > self.limits.ids:
            raise too_many(where, "token ids", self._ids, self.limits.ids, "a request")


class _Pace:
    """How many items of a list were read, and when to try to read many at once: after a failure, only after
    more and more items."""

    def __init__(self) -> None:
        self.count = 0
        self._next, self._pause = 0, 1

    @property
    def allows(self) -> bool:
        return self.count >= self._next

    def went(self, items: int) -> None:
        """Count ``items`` that were read at once, perhaps none."""
        self.count += items
        if items:
            self._pause = 1
        elif self.allows:
            self._next, self._pause = self.count + self._pause, min(2 * self._pause, 256)


def _carries_image(text: str) -> bool:
    return len(text) > _IMAGE_LENGTH and _IMAGE_MARK.decode() in text[:_IMAGE_START]


def check_text_lengths(inputs: Sequence[object], max_characters: int, max_total: int) -> None:
    """Check the lengths of texts for an encoder that reads no images, where none is one. Raises
    InputTooLong."""
    lengths = [len(value) if isinstance(value, str) else 0 for value in inputs]
    for place, length in enumerate(lengths, 1):
        if length > max_characters:
            raise too_many(f"input {place} of {len(lengths)}", "characters", length, max_characters, "a text")
    if sum(lengths) > max_total:
        raise too_many("the request", "characters", sum(lengths), max_total, "a request")


def nullable(read: Read) -> Read:
    """The reader of a field that may also be null."""

    def read_or_null(reader: BodyReader, where: str) -> Any:
        return None if reader.scanner.null() else read(reader, where)

    return read_or_null
