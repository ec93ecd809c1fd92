"""How commands are declared: options in groups, and the values of all of them as one dataclass."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from nestvec.cli.completion import complete_collections, complete_encoders

if TYPE_CHECKING:
    from pymilvus import MilvusClient

    from nestvec.milvus.address import ConnectSettings

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Option(click.Option):
    """An option that stands under its group's heading in the help."""

    group = "Other"

    def make_metavar(self, ctx: click.Context) -> str:
        numeric = isinstance(self.type, (click.IntRange, click.FloatRange)) and not self.count
        return "NUMBER" if numeric and self.metavar is None else super().make_metavar(ctx)


def write_option_groups(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """The command's options under the headings of their groups."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(ctx):
        # Arguments are in the usage line and in the text above.
        record = None if isinstance(param, click.Argument) else param.get_help_record(ctx)
        if record is not None:
            title = param.group if isinstance(param, Option) else Option.group
            groups.setdefault(title, []).append(record)
    for title, records in groups.items():
        with formatter.section(title):
            formatter.write_dl(records)


class GroupedCommand(click.Command):
    """A command whose help shows its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_option_groups(self, ctx, formatter)


class GroupedGroup(click.Group):
    """A group of commands whose help shows its own options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_option_groups(self, ctx, formatter)
        self.format_commands(ctx, formatter)


option = partial(click.option, cls=Option, show_default=True, show_envvar=True)
"""``click.option`` with the default and the environment variable in the help."""


def option_group(title: str, *options: Callable[[F], F]) -> Callable[[F], F]:
    """Options under one heading of the help, in this order."""

    def decorate(command: F) -> F:
        for add_option in reversed(options):
            command = add_option(command)
            param = command.__click_params__[-1]  # type: ignore[attr-defined]
            if isinstance(param, Option):
                param.group = title
        return command

    return decorate


_ARGUMENTS = "nestvec.arguments"


def args_command(kind: Callable[..., T]) -> type[click.Command]:
    """A class of commands whose function takes one ``kind``, built from the values of all options."""

    class ArgsCommand(GroupedCommand):
        def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
            ctx.meta[_ARGUMENTS] = tuple(args)
            return super().parse_args(ctx, args)

        def invoke(self, ctx: click.Context) -> Any:
            return cast(Callable[[T], Any], self.callback)(build_args(kind, ctx.params))

    return ArgsCommand


def parsed_arguments(ctx: click.Context) -> tuple[str, ...]:
    """The words of the command line that a command of ``args_command`` was parsed from."""
    words: tuple[str, ...] = ctx.meta[_ARGUMENTS]
    return words


def build_args(kind: Callable[..., T], values: dict[str, Any]) -> T:
    """``kind`` from the values of options by name; a field that is a dataclass takes its own from them."""
    arguments = {}
    for entry in fields(cast(Any, kind)):
        # Annotations are strings; a nested dataclass is a name of the module that declares the field.
        nested = vars(sys.modules[kind.__module__]).get(str(entry.type))
        nested_kind = nested if is_dataclass(nested) and isinstance(nested, type) else None
        arguments[entry.name] = build_args(nested_kind, values) if nested_kind else values[entry.name]
    return kind(**arguments)


_EXAMPLES = {"dims": "384,128", "gpus": "0,1", "exits": "2,3,4", "top": "128,64"}


def column_names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """``title,text`` as names."""
    if value is None:
        return None
    names = tuple(part.strip() for part in value.split(","))
    if not all(names):
        raise click.BadParameter("A column name is empty. Write the list as query,document.", ctx, param)
    return names


def integers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """``384,128`` as integers; a usage error names the part that is not one."""
    if value is None:
        return None
    values = []
    for part in value.split(","):
        try:
            values.append(int(part))
        except ValueError:
            example = _EXAMPLES[param.name or "dims"]
            reason = f"'{part.strip()}' is not a whole number. Write the list as {example}."
            raise click.BadParameter(reason, ctx, param) from None
    return tuple(values)


def name_value_pairs(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """``NAME=VALUE``, repeated, as a mapping; a usage error names the one that is malformed or repeated."""
    mapping: dict[str, str] = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not (name and equals and rest) or name in mapping:
            reason = f"'{value}' is not NAME={param.metavar or 'VALUE'}, or repeats a name."
            raise click.BadParameter(reason.replace("NAME=NAME=", "NAME="), ctx, param)
        mapping[name] = rest
    return mapping


@dataclass(frozen=True)
class MilvusArgs:
    """Which Milvus, and as whom."""

    uri: str
    """Empty if the command does not need one."""

    token: str = field(repr=False)
    database: str
    timeout: float = 10.0
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    server_name: str = ""

    @property
    def settings(self) -> ConnectSettings:
        """How to connect."""
        from nestvec.milvus.address import ConnectSettings

        return ConnectSettings(
            timeout=self.timeout,
            ca_file=self.ca_file,
            client_cert=self.client_cert,
            client_key=self.client_key,
            server_name=self.server_name,
        )

    def open(self, *, create: bool = False) -> AbstractContextManager[MilvusClient]:
        """A client, closed at the end of the block; a ``.db`` must exist without ``create``."""
        from nestvec.milvus.connection import open_milvus

        return open_milvus(
            self.uri, token=self.token, database=self.database, create=create, settings=self.settings
        )


@dataclass(frozen=True)
class PromptArgs:
    """Prompts that an export chooses or adds; None is what the checkpoint declares."""

    query_prompt: str | None
    document_prompt: str | None
    query_prompt_name: str | None
    document_prompt_name: str | None
    prompt: dict[str, str]


def prompt_options(command: F) -> F:
    """The fields of PromptArgs."""
    own = "told from the checkpoint's names"
    return option_group(
        "Prompts",
        option("--query-prompt", metavar="TEXT", help="Prepend to queries.", show_default="the checkpoint's"),
        option(
            "--document-prompt", metavar="TEXT", help="Prepend to documents.", show_default="the checkpoint's"
        ),
        option("--query-prompt-name", metavar="NAME", help="Prompt of queries.", show_default=own),
        option("--document-prompt-name", metavar="NAME", help="Prompt of documents.", show_default=own),
        option(
            "--prompt",
            multiple=True,
            callback=name_value_pairs,
            metavar="NAME=TEXT",
            help="Another prompt that a request may name, or another text for one (repeatable).",
        ),
    )(command)


_URI_HELP = (
    "A path that ends in .db (Milvus Lite), or a Milvus address: http://HOST:19530, https:// for TLS, the "
    "address of a Zilliz Cloud cluster."
)

_token = option(
    "--token",
    default="",
    envvar="NESTVEC_TOKEN",
    show_default=False,
    help="Milvus token, or USER:PASSWORD.",
)
_database = option(
    "--database",
    default="",
    envvar="NESTVEC_DATABASE",
    show_default=False,
    help="Milvus database, if there are several.",
)

_PEM = click.Path(path_type=Path, dir_okay=False)
_connecting = (
    option(
        "--timeout",
        type=click.FloatRange(0.1),
        default=10.0,
        envvar="NESTVEC_TIMEOUT",
        help="Seconds to wait for Milvus to answer when connecting.",
    ),
    option(
        "--ca-file",
        type=_PEM,
        envvar="NESTVEC_CA_FILE",
        show_default="those of the system",
        help="Certificates (PEM) to trust, for Milvus with TLS.",
    ),
    option(
        "--client-cert",
        type=_PEM,
        envvar="NESTVEC_CLIENT_CERT",
        help="Certificate (PEM) that the Milvus server asks for; with --client-key and --ca-file.",
    ),
    option("--client-key", type=_PEM, envvar="NESTVEC_CLIENT_KEY", help="Key (PEM) of --client-cert."),
    option(
        "--server-name",
        default="",
        envvar="NESTVEC_SERVER_NAME",
        metavar="NAME",
        show_default="the address's host",
        help="Name in the Milvus server's certificate.",
    ),
)


def milvus_options(command: F) -> F:
    """``--uri``, ``--token``, ``--database`` and those of TLS: the fields of MilvusArgs."""
    uri = option("--uri", required=True, envvar="NESTVEC_URI", help=_URI_HELP)
    return option_group("Milvus", uri, _token, _database, *_connecting)(command)


def optional_milvus_options(command: F) -> F:
    """The same for a command that can do without a Milvus."""
    uri = option("--uri", default="", envvar="NESTVEC_URI", help=_URI_HELP, show_default=False)
    return option_group("Milvus", uri, _token, _database, *_connecting)(command)


_models = option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("models"),
    envvar="NESTVEC_MODELS",
    help="Folder of the exported encoders.",
)
_collection = option(
    "--collection",
    required=True,
    metavar="NAME",
    shell_complete=complete_collections,
    help="Collection to write to.",
)
_json = option("--json", is_flag=True, help="Print JSON instead of a table.")


def models_option(command: F) -> F:
    """``--models``: the model repository."""
    return option_group("Encoders", _models)(command)


def json_option(command: F) -> F:
    """``--json``: for programs."""
    return option_group("Output", _json)(command)


def collection_option(command: F) -> F:
    """``--collection``: the collection that rows are written to."""
    return option_group("Milvus", _collection)(command)


def encoder_option(*names: str, help: str, required: bool = False) -> Callable[[F], F]:
    """An option that takes the names of encoders, repeatedly, and completes them."""
    return option(
        *names, multiple=True, required=required, metavar="NAME", help=help, shell_complete=complete_encoders
    )
