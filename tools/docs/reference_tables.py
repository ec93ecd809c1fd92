"""Tables of the reference pages, read off the code: options, endpoints, statuses, metrics, keys of a spec."""

from __future__ import annotations

import inspect
import re
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import click
from fastapi import FastAPI
from result_tables import bridges, compatible_versions, encoder_families, hostile_clients

from nestvec.cli import cli
from nestvec.engines.fake import FakeEngine
from nestvec.service.api.error_codes import ERROR_CODES
from nestvec.service.app import create_app
from nestvec.service.embedder import Embedder
from nestvec.service.settings import AccessSettings, ServiceSettings
from nestvec.shell.commands import BACKSLASH_COMMANDS
from nestvec_schemas.spec import collection_spec


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    head = [_line(columns), _line(["---"] * len(columns))]
    return "\n".join([*head, *(_line(row) for row in rows)])


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _code(value: object) -> str:
    return f"`{value}`" if value not in (None, "") else ""


def _context(*path: str) -> click.Context:
    """The context of a command, by its words."""
    context = click.Context(cli, info_name="nestvec", **cli.context_settings)
    for name in path:
        group = context.command
        assert isinstance(group, click.Group)
        command = group.get_command(context, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=context, **command.context_settings)
    return context


def _commands(*words: str) -> Iterator[tuple[str, ...]]:
    """The words of every command, a group before its own."""
    context = _context(*words)
    if words:
        yield words
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            yield from _commands(*words, name)


def _option_tables(context: click.Context) -> Iterator[str]:
    """A command's options: a table for each group of its help."""
    groups: dict[str, list[click.Option]] = {}
    for param in context.command.get_params(context):
        if isinstance(param, click.Option) and not param.hidden and "--help" not in param.opts:
            groups.setdefault(getattr(param, "group", "Other"), []).append(param)
    for title, options in groups.items():
        if len(groups) > 1:
            yield f"**{title}**"
        yield table(("option", "meaning", "default"), (_option_row(context, option) for option in options))


def _option_row(context: click.Context, option: click.Option) -> tuple[str, str, str]:
    extra = option.get_help_extra(context)
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag or option.count else option.make_metavar(context)
    variables = ", ".join(f"`{name}`" for name in extra.get("envvars", ()))
    meaning = f"{option.help or ''}{f'<br>{variables}' if variables else ''}"
    default = str(extra.get("default", extra.get("required", "")))
    # click puts words about a default, which are no value, into parentheses.
    worded = default.startswith("(") or default == "required"
    default = default.removeprefix("(").removesuffix(")") if worded else _code(default)
    return f"{names} `{value}`" if value else names, meaning, default


def _paragraphs(command: click.Command) -> Iterator[str]:
    """The help of a command; what click shows as it is written becomes a block of code."""
    for part in inspect.cleandoc(command.help or "").split("\n\n"):
        if part.startswith("\b\n"):
            head, _, rest = part.removeprefix("\b\n").partition("\n")
            body = f"{head}\n{rest}" if head.startswith(" ") else rest
            yield "" if head.startswith(" ") else head
            yield f"```text\n{textwrap.dedent(body)}\n```"
        else:
            yield part


def cli_reference() -> str:
    """Every command: its help, its usage and its options."""
    parts: list[str] = []
    for words in [(), *_commands()]:
        context = _context(*words)
        name = " ".join(("nestvec", *words))
        parts.append(f"{'##' if len(words) < 2 else '###'} {name}")
        parts += filter(None, _paragraphs(context.command))
        usage = " ".join(context.command.collect_usage_pieces(context))
        parts.append(f"Usage:\n\n```text\n{name} {usage}\n```")
        parts += _option_tables(context)
        if not words:
            group = context.command
            assert isinstance(group, click.Group)
            parts.append("\n".join(_summaries(group, context)))
    return "\n\n".join(parts)


def _summaries(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"- [`nestvec {name}`](#nestvec-{name}): {command.get_short_help_str(200)}"


def serve_options() -> str:
    """Every option of ``nestvec serve``."""
    return "\n\n".join(_option_tables(_context("serve")))


def environment() -> str:
    """The environment variables that several commands read."""
    readers: dict[str, list[str]] = {}
    for words in _commands():
        own = "_".join(("NESTVEC", *words)).upper()
        for param in _context(*words).command.params:
            if isinstance(param, click.Option) and isinstance(param.envvar, str) and own not in param.envvar:
                readers.setdefault(param.envvar, []).append(f"`{' '.join(words)}`")
    return table(
        ("variable", "read by"), ((_code(name), ", ".join(of)) for name, of in sorted(readers.items()))
    )


def _app() -> FastAPI:
    """The app of a service with every path that there is."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as keys:
        keys.write("admin-key\n")
        keys.flush()
        settings = ServiceSettings(access=AccessSettings(admin_keys=Path(keys.name)))
        return create_app(Embedder({}, FakeEngine({}), settings))


def _document() -> dict[str, Any]:
    """The service's OpenAPI document."""
    document: dict[str, Any] = _app().openapi()
    return document


_UNDOCUMENTED: Final = (("`GET /docs`", "", "Interactive documentation; `/openapi.json` is its source."),)


def endpoints() -> str:
    """Every path of the service; those that answer alike share a row."""
    rows: dict[tuple[str, str], list[str]] = {}
    for path, methods in _document()["paths"].items():
        for method, about in methods.items():
            text = " ".join(str(about.get("description") or about["summary"]).split())
            paths = rows.setdefault((", ".join(about.get("tags", ())), text), [])
            paths.append(f"`{method.upper()} {path}`")
    known = ((", ".join(paths), api, text) for (api, text), paths in rows.items())
    return table(("endpoint", "API", "what it answers"), [*known, *_UNDOCUMENTED])


def query_string() -> str:
    """The parameters that stand in the query string of an embedding call."""
    document = _document()
    seen: dict[str, tuple[str, str, list[str]]] = {}
    for path, methods in document["paths"].items():
        for parameter in methods.get("post", {}).get("parameters", ()):
            kind = _json_type(parameter["schema"])
            seen.setdefault(parameter["name"], (kind, parameter.get("description", ""), []))[2].append(path)
    every = len([1 for methods in document["paths"].values() if methods.get("post", {}).get("parameters")])
    rows = (
        (_code(name), kind, about, "all" if len(paths) == every else ", ".join(f"`{path}`" for path in paths))
        for name, (kind, about, paths) in seen.items()
    )
    return table(("parameter", "type", "meaning", "endpoints"), rows)


def bodies() -> str:
    """The fields of every request's body; paths with the same one share a table."""
    document, parts = _document(), dict[str, list[str]]()
    for path, methods in document["paths"].items():
        for method in methods.values():
            content = method.get("requestBody", {}).get("content", {}).get("application/json")
            if content is not None:
                parts.setdefault(_fields(_resolved(document, content["schema"])), []).append(path)
    return "\n\n".join(f"#### POST {', '.join(paths)}\n\n{fields}" for fields, paths in parts.items())


def _fields(schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = (
        (
            f"{_code(name)}{' (required)' if name in required else ''}",
            _json_type(about),
            about.get("description", ""),
        )
        for name, about in schema["properties"].items()
    )
    return table(("field", "type", "meaning"), rows)


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    resolved: dict[str, Any] = document["components"]["schemas"][name] if name else schema
    return resolved


def _json_type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        kinds = [_json_type(choice) for choice in schema["anyOf"] if choice.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema:
        return ", ".join(_code(value) for value in schema["enum"])
    if "$ref" in schema:
        return "object"
    if schema.get("type") == "array":
        return f"list of {_json_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def statuses() -> str:
    """Which error answers with which status, in each API."""
    rows = []
    for error, codes in ERROR_CODES:
        about = re.sub(r"\.\s.*", ".", (error.__doc__ or "").strip(), flags=re.S)
        tei = f"{codes.tei.status} {_code(codes.tei.error_type)}"
        openai = f"{codes.openai.status} {_code(codes.openai.code)}"
        rows.append((_code(error.__name__), about, tei, openai, codes.cohere))
    return table(("error", "when", "TEI", "OpenAI", "Cohere"), rows)


def metrics() -> str:
    """Every metric by its name at /metrics."""
    rows = []
    for metric in _app().state.metrics.registry.collect():
        if metric.name.startswith(("te_", "nestvec_")):
            total = "_total" if metric.type == "counter" else ""
            rows.append(
                (
                    _code(f"{metric.name}{total}"),
                    metric.type.replace("unknown", "counter"),
                    metric.documentation,
                )
            )
    return table(("metric", "type", "meaning"), rows)


def prompt_commands() -> str:
    """The backslash commands of the SQL prompt."""
    known = BACKSLASH_COMMANDS.items()
    rows = ((_code(f"{name} {row.argument}".strip()), row.description) for name, row in known)
    return table(("command", "meaning"), rows)


_SPEC: Final[dict[str, dict[str, str]]] = {
    "CollectionSpec": {
        "collection": "The collection's name.",
        "description": "A description that Milvus stores.",
        "service": "The service of embeddings that name none, as Milvus reaches it.",
        "dynamic": "Accept columns that the spec does not declare.",
        "max_vector_fields": "What the server's `proxy.maxVectorFieldNum` allows; by default what its "
        "version does.",
        "chunk": "Texts in each request of Milvus to a service; by default as many as the encoder embeds "
        "in time.",
        "fields": "The scalar fields, by name.",
        "embeddings": "Vector fields that an encoder fills.",
        "lexical": "Sparse fields that Milvus fills for BM25.",
        "vectors": "Vector fields that rows bring.",
    },
    "FieldSpec": {
        "type": "Milvus's type.",
        "primary": "The primary key: one field, `INT64` or `VARCHAR`.",
        "auto_id": "Milvus makes the key.",
        "nullable": "May be null. The text of an embedding may not.",
        "partition_key": "Milvus's partition key.",
        "default": "The value where a row has none.",
        "max_length": "Of a `VARCHAR`, or of an `ARRAY`'s elements, in bytes of UTF-8.",
        "element_type": "The type of an `ARRAY`'s elements.",
        "max_capacity": "The most elements of an `ARRAY`.",
        "description": "A description that Milvus stores.",
        "sql_type": "The SQL type that the field stores, such as `date`: see [Types](sql.md#types).",
        "compose": "The template that fills the field, or `flatten`: see "
        "[Composed fields](#composed-fields).",
    },
    "EmbeddingSpec": {
        "field": "The `VARCHAR` or `TEXT` field to embed.",
        "encoder": "The encoder's name.",
        "dims": "A vector field for each. Omit it for sparse encoders.",
        "exit": "The layer to stop after; the deepest by default.",
        "expert": "Whose weights of the encoder; its own by default.",
        "prompt": "The prompt before documents and queries, by name; the encoder's own of each by default. "
        "See [Prompts](concepts.md#prompts).",
        "query_prompt": "Another prompt before queries, by name.",
        "form": "What the field stores; see [Forms](concepts.md#forms).",
        "top": "Of a sparse field: keep this many of a text's largest weights; all by default.",
        "service": "The service of this embedding.",
        "provider": "Of an int8 field: `voyageai` where Milvus's `cohere` has another address.",
        "name": "The field's name, where there is one dimension.",
        "index": "Milvus's index type. The default depends on the form: `AUTOINDEX`, `BIN_FLAT` or "
        "`SPARSE_INVERTED_INDEX`.",
        "metric": "The metric of the index: `COSINE`, of binary fields `HAMMING`, of sparse ones `IP`.",
        "params": "Build parameters of the index.",
    },
    "LexicalSpec": {
        "field": "The `VARCHAR` field.",
        "name": "The sparse field's name; `FIELD_bm25` by default.",
        "k1": "How soon more occurrences of a word stop to count.",
        "b": "How much a long text is penalised.",
        "analyzer": "Milvus's `analyzer_params`: how a text becomes words; Milvus's standard one by default.",
        "analyzers": "Milvus's `multi_analyzer_params`: an analyzer for each value of another field.",
    },
    "VectorSpec": {
        "name": "The field's name.",
        "type": "Milvus's type.",
        "dim": "Its number of dimensions.",
        "sql_type": "The SQL type that the field stores, such as `bit(3)`: see [Types](sql.md#types).",
        "nullable": "May be null, from Milvus 2.5 on and in Milvus Lite.",
        "index": "Milvus's index type.",
        "metric": "The metric of the index.",
        "params": "Build parameters of the index.",
    },
}


def _spec(name: str) -> Callable[[], str]:
    """The keys of one part of a spec. A key without a description here, or one too many, is an error."""

    def made() -> str:
        fields, about = getattr(collection_spec, name).model_fields, _SPEC[name]
        if set(fields) != set(about):
            raise KeyError(f"{name}: {sorted(set(fields) ^ set(about))}")
        rows = []
        for key, field in fields.items():
            plain = field.default if isinstance(field.default, (str, int, float)) else ""
            default = (
                "required" if field.is_required() else _code(str(plain).lower() if plain is False else plain)
            )
            rows.append((_code(key), _python_type(field.annotation), default, about[key]))
        return table(("key", "value", "default", "meaning"), rows)

    return made


_WORDS: Final = {
    "StrictStr": "text",
    "str": "text",
    "StrictBool": "`true` or `false`",
    "bool": "`true` or `false`",
    "StrictInt": "whole number",
    "int": "whole number",
    "float": "number",
}


def _python_type(kind: Any) -> str:
    origin, inside = get_origin(kind), [part for part in get_args(kind) if part is not NoneType]
    if origin is Literal:
        return ", ".join(_code(part) for part in inside)
    if origin is Annotated:
        return _python_type(inside[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_python_type(part) for part in inside))
    if origin is tuple:
        return f"list of {_python_type(inside[0])}s"
    if origin is dict or hasattr(kind, "model_fields"):
        return "mapping"
    return _WORDS.get(getattr(kind, "__name__", ""), "value")


TABLES: Final[dict[str, Callable[[], str]]] = {
    "cli": cli_reference,
    "serve-options": serve_options,
    "environment": environment,
    "endpoints": endpoints,
    "query-string": query_string,
    "bodies": bodies,
    "statuses": statuses,
    "metrics": metrics,
    "prompt-commands": prompt_commands,
    "encoder-families": encoder_families,
    "hostile-clients": hostile_clients,
    "bridges": bridges,
    "compatible-versions": compatible_versions,
    "spec-collection": _spec("CollectionSpec"),
    "spec-field": _spec("FieldSpec"),
    "spec-embedding": _spec("EmbeddingSpec"),
    "spec-lexical": _spec("LexicalSpec"),
    "spec-vector": _spec("VectorSpec"),
}
"""What a page may name in ``<!-- generated: NAME -->``."""
