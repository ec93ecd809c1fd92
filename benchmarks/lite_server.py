"""``milvus-lite server`` that opens a collection once when several requests come at once after its start.

Milvus Lite 3.2.2 does not lock ``MilvusLite.get_collection``: two requests for a collection that is not open
yet open it twice, and what is written to the one that is forgotten is lost, without a kill as well.

    python benchmarks/lite_server.py server --host 127.0.0.1 --port 19530 --data-dir FOLDER
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from milvus_lite.cmdline import main
from milvus_lite.db import MilvusLite


def open_once() -> None:
    """Let one request at a time open a collection."""
    unlocked, lock = MilvusLite.get_collection, threading.RLock()

    def get_collection(self: Any, *args: Any, **options: Any) -> Any:
        with lock:
            return unlocked(self, *args, **options)

    MilvusLite.get_collection = get_collection


if __name__ == "__main__":
    open_once()
    sys.exit(main())
