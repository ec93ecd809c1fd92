"""``--config FILE``: the options of a command in a YAML file, below the environment and the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from nestvec.cli.options import Option, option, option_group
from nestvec_schemas.errors import ServiceError, nearest

if TYPE_CHECKING:
    from yaml import MarkedYAMLError

F = TypeVar("F", bound=Callable[..., object])

_MAX_BYTES: Final = 1 << 20
_CONFIG: Final = "config"
_OWN: Final = (_CONFIG, "print_config", "help")
"""Options that a file cannot have."""


def config_options(command: F) -> F:
    """``--config`` and ``--print-config``."""
    return option_group(
        "Configuration",
        option(
            "--config",
            type=click.Path(path_type=Path, dir_okay=False),
            is_eager=True,
            callback=_apply,
            help="YAML file of options: keys are their names without --, in groups or not. Environment "
            "variables and the command line take precedence.",
        ),
        option("--print-config", is_flag=True, help="Print all options as such a file, and exit."),
    )(command)


def _apply(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    if path is not None:
        ctx.default_map = {**(ctx.default_map or {}), **read_config(path, ctx)}
    return path


def read_config(path: Path, ctx: click.Context) -> dict[str, Any]:
    """The values in a file by the names of their parameters, checked. Raises ServiceError.

    Paths are relative to the file's folder.
    """
    options = {
        param.name: param
        for param in ctx.command.params
        if isinstance(param, click.Option) and param.name and param.name not in _OWN
    }
    values: dict[str, Any] = {}
    for key, name, value in _entries(path, _load(path), options):
        if name in values:
            raise _error(path, "sets an option twice", key, "Keep one of them.")
        if value is not None:
            values[name] = _value(path, key, value, options[name], ctx)
    return values


def print_config(ctx: click.Context) -> None:
    """Print the values of all options, in groups, as a file that ``--config`` reads."""
    import yaml

    groups: dict[str, dict[str, Any]] = {}
    for param in ctx.command.params:
        if isinstance(param, Option) and param.name and param.name not in _OWN:
            group = groups.setdefault(param.group.lower(), {})
            group[_key(param)] = _plain(ctx.params[param.name])
    click.echo(yaml.safe_dump(groups, sort_keys=False, allow_unicode=True), nl=False)


def _load(path: Path) -> Mapping[Any, Any]:
    import yaml

    from nestvec_schemas.spec.yaml_file import StrictLoader

    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ServiceError(
            f"the configuration {path} cannot be read",
            value=error.strerror,
            next_step="Name a readable file with --config.",
        ) from error
    if len(data) > _MAX_BYTES:
        raise _error(path, "is larger than 1 MiB", len(data), "It has only the options of the command.")
    try:
        content = yaml.load(data, Loader=StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        problem = f"is not valid YAML{_place(error)}"
        raise _error(path, problem, error.problem, "Correct that line.") from error
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _error(path, "is not valid YAML", str(error).partition("\n")[0], "Correct it.") from error
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise _error(path, "is not a mapping", type(content).__name__, "Write port: 8080, for example.")
    return content


def _place(error: MarkedYAMLError) -> str:
    mark = error.problem_mark
    return f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _entries(
    path: Path, content: Mapping[Any, Any], options: Mapping[str, click.Option]
) -> Iterator[tuple[str, str, Any]]:
    """Each key with the parameter that it names, and its value; a group of keys is a mapping."""
    groups = {param.group.lower() for param in options.values() if isinstance(param, Option)}
    keys = [_key(param) for param in options.values()]
    for key, value in content.items():
        inner = value if str(key) in groups and isinstance(value, Mapping) else {key: value}
        for option_key, option_value in inner.items():
            name = str(option_key).replace("-", "_")
            if name not in options:
                shown = str(option_key) if inner is not value else f"{key}.{option_key}"
                similar = nearest(str(option_key), [*keys, *groups])
                raise _error(path, "has an unknown key", shown, f"See nestvec serve --help.{similar}")
            yield str(option_key), name, option_value


def _value(path: Path, key: str, value: Any, param: click.Option, ctx: click.Context) -> Any:
    """A value as click takes defaults, once its type has accepted it."""
    if isinstance(value, Mapping):
        if not (param.multiple and param.callback):
            raise _error(path, "has a mapping where an option takes one value", key, "Write KEY: VALUE.")
        _check_types(path, key, [*value.keys(), *value.values()], param)
        value = [f"{name}={target}" for name, target in value.items()]
    if isinstance(value, list) != param.multiple:
        if isinstance(value, list):
            raise _error(path, "has a list where an option takes one value", key, "Write one value.")
        value = [value]
    if param.is_flag and not isinstance(value, bool):
        raise _error(path, "has no truth value where an option takes one", key, "Write true or false.")
    _check_types(path, key, value if isinstance(value, list) else [value], param)
    if isinstance(param.type, click.Path):
        folder = path.absolute().parent
        value = [str(folder / str(part)) for part in value] if param.multiple else str(folder / str(value))
    try:
        param.process_value(ctx, value)
    except click.BadParameter as error:
        raise _error(
            path, f"has an invalid value for {key}", error.message.rstrip("."), "Correct it."
        ) from error
    return value


def _check_types(path: Path, key: str, values: list[Any], param: click.Option) -> None:
    """Raise ServiceError for what click would take for another value: true for 1, and 1.5 for 1."""
    for value in values:
        if isinstance(value, bool) and not param.is_flag:
            # YAML reads yes, no, on and off so.
            step = "Write the value, in quotes if it is a text."
            raise _error(path, f"has {str(value).lower()} where an option takes another value", key, step)
        if isinstance(value, float) and isinstance(param.type, click.types.IntParamType):
            raise _error(path, f"has no whole number for {key}", value, "Write one.")
        if value is None or isinstance(value, list | Mapping):
            raise _error(path, "has an empty or nested value", key, "Write a single value in its place.")


def _key(param: click.Option) -> str:
    return (param.name or "").replace("_", "-")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def _error(path: Path, problem: str, value: object, next_step: str) -> ServiceError:
    return ServiceError(f"the configuration {path} {problem}", value=value, next_step=next_step)
