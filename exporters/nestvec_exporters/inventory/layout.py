"""The modules that a checkpoint declares, at any depth of routers, with their folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from nestvec_exporters.checkpoints.layout import read_json
from nestvec_exporters.inventory.declaration import Declaration
from nestvec_exporters.inventory.rules.modules import MODULE_ROW, ROUTER
from nestvec_exporters.inventory.rules.rule import judge_object

MODULES_FILE: Final = "modules.json"
ROUTER_FILES: Final = ("router_config.json", "config.json")
ROUTER_CLASSES: Final = ("Router", "Asym")

TRANSFORMER_CLASSES: Final = ("Transformer", "MLMTransformer", "CLIPModel", "CLIPTransformer", "ColBERT")
"""Classes whose folder holds a model of transformers."""


@dataclass(frozen=True)
class ModuleFolder:
    """A module that the checkpoint declares."""

    module_class: str
    """Its class, without the package."""

    place: str
    """Its folder inside the checkpoint's, empty for that itself."""

    route: str = ""
    """The route of a router that it is part of; empty outside of one."""

    def path(self, name: str) -> str:
        """A file of the module, inside the checkpoint's folder."""
        return f"{self.place}/{name}" if self.place else name


def declared_modules(folder: Path) -> tuple[list[ModuleFolder], list[Declaration]]:
    """The modules in ``modules.json``, and the declarations of its rows and of routers; none in transformers'
    layout."""
    path = folder / MODULES_FILE
    rows = read_json(path) if path.is_file() else []
    modules: list[ModuleFolder] = []
    declarations: list[Declaration] = []
    for number, row in enumerate(rows if isinstance(rows, list) else ()):
        if not isinstance(row, dict):
            continue
        for declaration in judge_object(MODULES_FILE, row, MODULE_ROW):
            key = f"{number}.{declaration.key}"
            declarations.append(
                Declaration(MODULES_FILE, key, declaration.value, declaration.outcome, declaration.reason)
            )
        module = ModuleFolder(_class_name(row.get("type")), _place(row.get("path")))
        modules += _with_routes(folder, module, declarations)
    return modules, declarations


def _with_routes(
    folder: Path, module: ModuleFolder, declarations: list[Declaration]
) -> Iterator[ModuleFolder]:
    """A module, and those of its routes if it is a router, whose declarations are added."""
    yield module
    if module.module_class not in ROUTER_CLASSES:
        return
    name = next((file for file in ROUTER_FILES if (folder / module.place / file).is_file()), None)
    content = read_json(folder / module.place / name) if name is not None else None
    if name is None or not isinstance(content, dict):
        return
    declarations += judge_object(module.path(name), content, ROUTER)
    routes = _routes_of(content.get("structure"))
    types = content.get("types")
    for place, type_name in (types if isinstance(types, dict) else {}).items():
        route = routes.get(str(place), str(place))
        inner = ModuleFolder(_class_name(type_name), _place(module.path(str(place))), route)
        yield from _with_routes(folder, inner, declarations)


def _routes_of(structure: Any) -> dict[str, str]:
    """The route of each folder of a router."""
    routes = structure if isinstance(structure, dict) else {}
    return {
        str(place): str(route)
        for route, places in routes.items()
        for place in (places if isinstance(places, list) else ())
    }


def _class_name(name: Any) -> str:
    return str(name).rpartition(".")[2]


def _place(path: Any) -> str:
    place = PurePosixPath(str(path or "")).as_posix()
    return "" if place == "." else place
