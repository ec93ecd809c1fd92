"""Altering the Function of a field, where the server can: its fingerprint, encoder or address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from pymilvus import Function, FunctionType, MilvusClient

from nestvec.milvus.catalog import EmbeddingColumn
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.server_version import ALTERS_FUNCTIONS, THREE, ServerVersion, read_version
from nestvec_schemas.model_name import format_model_name, parse_model_name


def can_pin(version: ServerVersion) -> bool:
    """Whether a server certainly alters the endpoint and the model of a Function: Milvus 2.6 from 2.6.8."""
    return not version.lite and version.at_least(ALTERS_FUNCTIONS) is True and version.before(THREE)


def pin_fingerprint(client: MilvusClient, collection: str, column: EmbeddingColumn, fingerprint: str) -> bool:
    """Have Milvus name the fingerprint in its requests for a field; returns whether it does from now on.

    The server embeds a word to check it. Raises StoreError.
    """
    if column.endpoint.caller == "nestvec" or column.pinned is not None:
        return True
    if not can_pin(read_version(client)):
        return False
    alter_params(client, collection, column.column, lambda params: _pinned(params, fingerprint))
    return True


def alter_params(
    client: MilvusClient,
    collection: str,
    column: str,
    change: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    """Change the params of the Function that fills a column. The server embeds a word to check them.

    Raises StoreError.
    """
    with milvus_errors(f"altering the Function of {collection}.{column}"):
        described = next(
            function
            for function in client.describe_collection(collection)["functions"]
            if column in function["output_field_names"]
        )
        function = Function(
            name=described["name"],
            function_type=FunctionType.TEXTEMBEDDING,
            input_field_names=list(described["input_field_names"]),
            output_field_names=list(described["output_field_names"]),
            params=change(dict(described["params"])),
        )
        client.alter_collection_function(collection, described["name"], function)


def _pinned(params: dict[str, Any], fingerprint: str) -> dict[str, Any]:
    """The params of a Function with the fingerprint: in the endpoint, or in the model's name."""
    if "endpoint" in params:
        parts = urlsplit(str(params["endpoint"]))
        query = "&".join(filter(None, (parts.query, urlencode({"fingerprint": fingerprint}))))
        return {**params, "endpoint": parts._replace(query=query).geturl()}
    config = replace(parse_model_name(str(params["model_name"])), fingerprint=fingerprint)
    name = format_model_name(config, with_dim=config.dim is not None, with_fingerprint=True)
    return {**params, "model_name": name}
