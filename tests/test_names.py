"""Names and layout of the source tree: one home per class, names that say what a thing is, short files."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas/nestvec_schemas", "exporters/nestvec_exporters", "plugin/nestvec")

SAY_NOTHING = frozenset(
    {
        "one",
        "found",
        "asked",
        "given",
        "told",
        "how",
        "wanted",
        "seen",
        "drawn",
        "made",
        "said",
        "some",
        "its",
        "both",
        "whole",
        "around",
        "inside",
        "beside",
        "hears",
        "known",
        "kept",
        "tried",
        "taken",
        "begun",
        "held",
        "about",
        "offers",
        "offering",
        "seeing",
        "filling",
        "asking",
        "layouts",
        "written",
        "typed",
        "stated",
        "lies",
        "fits",
        "sees",
        "reads",
    }
)
"""Names that do not say what a thing is."""

MAX_FILES = 18
MAX_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_POSITIONAL = 5
MAX_FIELDS = 10

SHARED_CLASS_NAMES: dict[str, str] = {}
"""Class names that may have more than one home, and why."""


@cache
def modules() -> dict[Path, ast.Module]:
    """The syntax trees of the packages' files, by path from the root."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def test_no_name_says_nothing() -> None:
    found = []
    for path, tree in modules().items():
        if path.stem in SAY_NOTHING:
            found.append(f"{path}: module")
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                name = node.id
            elif isinstance(node, ast.arg):
                name = node.arg
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = node.name.lower()
            else:
                continue
            if name.lstrip("_") in SAY_NOTHING:
                found.append(f"{path}:{node.lineno} {name}")
    assert not found, "\n".join(found)


def test_a_class_name_has_one_home() -> None:
    homes = defaultdict(list)
    for path, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path))
    twins = {name: paths for name, paths in homes.items() if len(paths) > 1}
    assert twins.keys() == SHARED_CLASS_NAMES.keys(), twins


def test_folders_and_files_can_be_taken_in() -> None:
    folders = Counter(path.parent for path in modules())
    assert {str(folder): n for folder, n in folders.items() if n > MAX_FILES} == {}
    lines = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert {str(path): n for path, n in lines.items() if n > MAX_LINES} == {}
    long = {
        f"{path}:{node.name}": length
        for path, node in functions()
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_constructors_take_few_positional_arguments() -> None:
    calls = [
        f"{path}:{node.lineno} {node.func.id}: {len(node.args)}"
        for path, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id[:1].isupper()
        and len(node.args) > MAX_POSITIONAL
    ]
    assert not calls, "\n".join(calls)


def test_dataclasses_have_few_fields() -> None:
    large = []
    for path, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and any(
                "dataclass" in ast.unparse(d) for d in node.decorator_list
            ):
                fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
                if len(fields) > MAX_FIELDS:
                    large.append(f"{path}:{node.name}: {len(fields)}")
    assert not large, "\n".join(large)
