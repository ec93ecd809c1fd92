"""Run as a script in a process of its own: writes the standard library's docstrings as JSON lines."""

import contextlib
import importlib
import inspect
import io
import json
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType

# Modules that have side effects, need a screen, or are exported under another name (os.path).
SKIPPED = {
    *("antigravity", "idlelib", "lib2to3", "test", "this", "tkinter", "turtle", "turtledemo"),
    *("genericpath", "ntpath", "nturl2path", "posixpath"),
}
INSIDE = """
asyncio collections.abc concurrent.futures email.message email.utils http.client http.cookies http.server
importlib.metadata importlib.resources json.decoder json.encoder logging.config logging.handlers
multiprocessing.pool multiprocessing.shared_memory os.path unittest.mock urllib.error urllib.parse
urllib.request urllib.robotparser wsgiref.simple_server wsgiref.util xml.dom.minidom
xml.etree.ElementTree xml.sax.saxutils xmlrpc.client xmlrpc.server zoneinfo
"""
SHORTEST = 60


def modules() -> Iterator[tuple[str, ModuleType]]:
    names = (name for name in sys.stdlib_module_names if not name.startswith("_"))
    for name in sorted({*names, *INSIDE.split()}):
        if name.partition(".")[0] in SKIPPED:
            continue
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield name, importlib.import_module(name)
        except BaseException:  # noqa: S112 - a module of another platform, or without its C library
            continue


def public(owner: object, names: list[str]) -> Iterator[tuple[str, object]]:
    for name in sorted(names):
        if not name.startswith("_"):
            with contextlib.suppress(Exception):
                yield name, inspect.getattr_static(owner, name)


def own(module: ModuleType, member: object) -> bool:
    """Whether the module exports this itself: it is in ``__all__``, or defined in the module or its C
    part."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return getattr(member, "__name__", None) in listed
    home = getattr(member, "__module__", None) or ""
    return home.lstrip("_") == module.__name__.rpartition(".")[2] or home == module.__name__


def text_of(member: object) -> str:
    if isinstance(member, (staticmethod, classmethod)):
        member = member.__func__
    docstring = (
        member.__dict__.get("__doc__") if isinstance(member, type) else getattr(member, "__doc__", None)
    )
    return inspect.cleandoc(docstring) if isinstance(docstring, str) else ""


def documented(offered_as: str, module: ModuleType) -> Iterator[tuple[str, str, str]]:
    for name, member in public(module, dir(module)):
        if not own(module, member) or not callable(member):
            continue
        if inspect.isclass(member):
            yield f"{offered_as}.{name}", "class", text_of(member)
            for inner, method in public(member, list(vars(member))):
                if callable(method) or isinstance(method, (staticmethod, classmethod)):
                    yield f"{offered_as}.{name}.{inner}", "method", text_of(method)
        else:
            yield f"{offered_as}.{name}", "function", text_of(member)


def main() -> None:
    warnings.simplefilter("ignore")
    out, written_texts = sys.stdout, set()
    for offered_as, module in modules():
        for name, kind, text in documented(offered_as, module):
            if len(text) >= SHORTEST and text not in written_texts:
                written_texts.add(text)
                row = {"name": name, "module": offered_as, "kind": kind, "text": text}
                out.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
