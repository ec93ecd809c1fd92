"""Which documents are scored at all."""

from __future__ import annotations

import sys
import unicodedata

from nestvec.service.ranking import _is_blank


def test_blank_is_what_unicode_says_is_not_visible() -> None:
    invisible = {"Cc", "Cf", "Zl", "Zp", "Zs"}
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        # Unassigned in the Unicode of an older Python, format characters in a newer one's.
        if category != "Cn":
            assert _is_blank(chr(code)) == (category in invisible), hex(code)
    assert _is_blank("")
    assert not _is_blank(" \u200b\n w")
