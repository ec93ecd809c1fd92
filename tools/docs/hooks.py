"""What mkdocs builds beside the pages in docs/: images of the benchmarks, and tables read off the code.

A page holds ``<!-- generated: NAME -->`` where a table of ``reference_tables.TABLES`` stands.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
IMAGES = ROOT / "benchmarks" / "results"

_GENERATED = re.compile(r"<!-- generated: ([a-z-]+) -->")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the plots of the benchmarks as ``results/NAME.png``."""
    for path in sorted(IMAGES.glob("*.png")):
        files.append(File.generated(config, f"results/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the tables in their places."""
    if not _GENERATED.search(markdown):
        return markdown
    # mkdocs loads a hook with its folder in sys.path, and takes it out again.
    if str(HERE) not in sys.path:
        sys.path.append(str(HERE))
    from reference_tables import TABLES  # noqa: PLC0415 - imports the service, for the pages that show it

    return _GENERATED.sub(lambda match: TABLES[match[1]](), markdown)
