"""What becomes of an input that cannot be embedded, because its image cannot be fetched or read."""

from __future__ import annotations

from typing import Literal

OnError = Literal["reject", "zero"]
"""``reject``: the service refuses the request that contains it, and an ingest leaves its row out. ``zero``:
its vector is zero, which is close to nothing; an ingest sends its row, for a service that is set to do so."""
