"""Rows of the second collection that are not as they were copied: they are copied again."""

from __future__ import annotations

from nestvec.collections.change.copy import Copy, foreign_rows
from nestvec.collections.change.journal import UNFINISHED

_NO_PASS = 0
"""Of rows that no pass has seen: the next one writes them again, or deletes them."""


def mark_differing(copy: Copy) -> int:
    """Have the next pass copy the rows again that the second collection has otherwise than recorded.

    A server may carry out a request of a command that was killed, or whose connection was lost, long after
    another wrote the same rows. Returns the number of those rows. Raises StoreRefused for a row that no pass
    sent, which is somebody else's; StoreError.
    """
    key, count = copy.target.key.name, 0
    for page in copy.target.pages(copy.target.partitions()):
        recorded = copy.journal.digests([row[key] for row in page.rows])
        present = {row[key]: copy.target.digests(row, page.partition) for row in page.rows}
        differing = {name: digests for name, digests in present.items() if recorded.get(name) not in digests}
        foreign = differing.keys() - copy.journal.sent(differing)
        if foreign:
            raise foreign_rows(copy.table.name, foreign)
        copy.journal.record([(name, UNFINISHED) for name in differing], _NO_PASS)
        count += len(differing)
    return count
