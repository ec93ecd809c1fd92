"""Beds of code: the docstrings of Python and of installed packages."""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from benchmarks.beds.bed import Bed, bed_of_pairs, draw, words_of

_MAX_FILES = 1500
_MIN_REST_CHARS = 60


def docstrings_by_first_line() -> Bed:
    """The rest of a docstring, searched by its first line."""
    pairs = []
    for _, text in _docstrings():
        first, _, rest = text.strip().partition("\n")
        if len(first.split()) > 2 and len(rest.strip()) >= _MIN_REST_CHARS:
            pairs.append((first, rest))
    return bed_of_pairs("docstrings by first line", pairs)


def docstrings_by_name() -> Bed:
    """The first paragraph of a docstring, searched by the name of what it describes."""
    pairs = []
    for name, text in _docstrings():
        words = words_of(name)
        paragraph = text.strip().partition("\n\n")[0]
        if len(words.split()) > 2 and len(paragraph) >= _MIN_REST_CHARS:
            pairs.append((words, paragraph))
    return bed_of_pairs("docstrings by name", pairs)


@cache
def _docstrings() -> tuple[tuple[str, str], ...]:
    """The name and the docstring of each function and class, with its module's name before its own."""
    pairs = []
    for path, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                text = ast.get_docstring(node)
                if text and text.isascii():
                    pairs.append((f"{path.parent.name} {path.stem} {node.name}", text))
    return tuple(pairs)


@cache
def _modules() -> tuple[tuple[Path, ast.Module], ...]:
    return tuple(_parse())


def _parse() -> Iterator[tuple[Path, ast.Module]]:
    paths = sysconfig.get_paths()
    roots = {Path(paths["stdlib"]), Path(paths["purelib"])}
    by_name = {
        str(path.relative_to(root)): path
        for root in roots
        for path in root.rglob("*.py")
        if not {"test", "tests", "idlelib"} & set(path.parts)
        and (root != min(roots) or "site-packages" not in path.parts)
    }
    for name in draw(by_name, _MAX_FILES):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield by_name[name], ast.parse(by_name[name].read_bytes())
        except (SyntaxError, ValueError):
            continue
