"""Make the beds and embed them.

python -m benchmarks.beds.build --models models --data ../shared/data --sources SOURCES --to beds
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.beds.catalogue import catalogue
from benchmarks.beds.embed import Encoder, embed_bed, embed_sampled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help="beds to make; all by default")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--data", type=Path, required=True, help="holds scifact, cranfield and emoji")
    parser.add_argument(
        "--sources", type=Path, required=True, help="Debian packages, unpacked; see book_beds"
    )
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--sampled", type=int, default=4000, help="documents that queries are sampled from")
    options = parser.parse_args()
    beds = catalogue(options.data, options.sources)
    encoder = Encoder(options.models / options.encoder, options.max_tokens)
    for name in options.names or beds:
        started = time.monotonic()
        bed = beds[name]()
        made = time.monotonic()
        embed_bed(bed, encoder, options.to / name)
        embed_sampled(bed, encoder, options.to / name, texts=options.sampled)
        print(
            f"{name}: {len(bed.documents)} documents, {len(bed.queries)} queries; "
            f"{made - started:.0f} s to make, {time.monotonic() - made:.0f} s to embed",
            flush=True,
        )


if __name__ == "__main__":
    main()
