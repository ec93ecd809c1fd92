"""Bytes as texts, and digests of bytes: encode(), decode(), sha512() and their like."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

_LINE: Final = 76
"""Characters of a line of base64."""
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_ESCAPED: Final = re.compile(rb"\\(?:(\\)|([0-3][0-7]{2})|)")


def encode_bytes(data: bytes, encoding: str) -> str:
    """Bytes as base64 in lines of 76 characters, or with octal escapes."""
    if encoding == "base64":
        text = base64.b64encode(data).decode()
        # PostgreSQL ends a line as soon as it is full, the last one, too.
        return re.sub(f"(?:[A-Za-z0-9+/]{{{_LINE}}})", r"\g<0>\n", text)
    chars = ("\\\\" if byte == 92 else chr(byte) if 0 < byte < 128 else f"\\{byte:03o}" for byte in data)
    return "".join(chars)


def decode_text(text: str, encoding: str) -> bytes:
    """The bytes of what ``encode_bytes`` writes. Raises ValueError for another text."""
    if encoding == "base64":
        packed = re.sub(r"[ \t\n\r]", "", text)
        if not _BASE64.fullmatch(packed):
            raise ValueError("invalid symbol or end while decoding base64 sequence")
        return base64.b64decode(packed)
    return _ESCAPED.sub(_unescaped, text.encode())


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[1] is not None:
        return b"\\"
    if match[2] is None:
        raise ValueError("invalid input syntax for type bytea")
    return bytes([int(match[2], 8)])


def digest(data: bytes, name: str) -> bytes:
    """The digest of bytes by sha224, sha384 or sha512."""
    return hashlib.new(name, data).digest()
