"""What of a file's content says that its rows are the same."""

from __future__ import annotations

from nestvec.datasets.readers import SourceRow
from nestvec.ingest.content import RowDigests, has_rows
from nestvec_schemas.errors import RowRejected

REJECTED = RowRejected("the row is not CSV", value="x", next_step="Correct it.")
ROWS = [
    SourceRow("line 2", {"id": "1", "text": None}),
    SourceRow("line 3", REJECTED, '2,"a'),
    SourceRow("line 4", {"id": "3", "text": "\udc80"}),
]


def test_the_digest_is_of_all_rows_before() -> None:
    digests = RowDigests()
    assert list(digests.follow(ROWS)) == ROWS
    for count in range(4):
        assert has_rows(ROWS, count, digests.after(count))
        assert not has_rows(ROWS[1:], count, digests.after(count)) or count == 0
    assert not has_rows(ROWS[:2], 3, digests.after(3))


def test_it_continues_where_it_ended() -> None:
    whole, first = RowDigests(), RowDigests()
    list(whole.follow(ROWS))
    list(first.follow(ROWS[:1]))
    rest = RowDigests(1, first.after(1))
    list(rest.follow(ROWS[1:]))
    assert rest.after(3) == whole.after(3)
    rest.forget(2)
    assert rest.after(2) == whole.after(2)


def test_rows_of_other_places_values_or_texts_are_others() -> None:
    digests = RowDigests()
    list(digests.follow(ROWS))
    for row in (
        SourceRow("line 5", {"id": "1", "text": None}),
        SourceRow("line 2", {"id": "1", "text": ""}),
        SourceRow("line 2", REJECTED, "1,"),
    ):
        assert not has_rows([row, *ROWS[1:]], 3, digests.after(3))
