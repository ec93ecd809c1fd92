"""``milvus-lite server`` that opens a collection once, as nestvec has a Milvus Lite in its own process do.

Milvus Lite 3.2.2 alone loses writes if the first two requests for a collection after its start come at once,
which is what happens here after each kill; ``nestvec.milvus.lite.open_once`` says why.

    python benchmarks/lite_server.py server --host 127.0.0.1 --port 19530 --data-dir FOLDER
"""

from __future__ import annotations

import sys

from milvus_lite.cmdline import main

from nestvec.milvus.lite import open_once

if __name__ == "__main__":
    open_once()
    sys.exit(main())
