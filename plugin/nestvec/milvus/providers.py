"""Who calls the service for a field's vectors: one class per provider of Milvus's Functions.

Milvus Lite has only ``openai`` and takes a base URL. Milvus 2.6 and later have ``tei``: it overwrites the
endpoint's path and keeps its query string, which holds the embedding's config and the request's deadline. Of
its providers only ``cohere`` and ``voyageai`` fill INT8_VECTOR, and those have an address for the whole
cluster, in milvus.yaml: a note in the field's description names the service. So do the notes of binary and
sparse fields, which no Function fills but ``nestvec ingest`` does. Milvus Lite keeps no descriptions of
fields: for sparse ones, which it has, a property of the collection holds the note.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

from nestvec.milvus.calls import CALLS_PER_INSERT, MilvusCalls, credential_params
from nestvec.milvus.server_version import (
    CALLS_COHERE_WITH_DIM,
    CALLS_VOYAGE_WITH_TYPE,
    Release,
    ServerVersion,
)
from nestvec.milvus.tries import MAX_CHUNK
from nestvec_schemas.embedding_config import (
    VECTOR_TYPES,
    EmbeddingConfig,
    Form,
    Prompts,
    parse_query,
    query_parameters,
)
from nestvec_schemas.errors import NestvecError, SpecError, StoreRefused, nearest
from nestvec_schemas.model_name import format_model_name, parse_model_name

ProviderName = Literal["openai", "tei", "cohere", "voyageai"]

CallerName = ProviderName | Literal["nestvec"]
"""Who calls the service for a field's vectors: Milvus through a provider, or nestvec as it writes rows."""

FunctionParams = dict[str, str | int]

MAX_INSERT_ROWS: Final = CALLS_PER_INSERT * MAX_CHUNK
"""Rows of one insert, whatever the provider."""

_CHUNK: Final = "max_client_batch_size"
"""The parameter of a Function with the texts of a request. Milvus Lite keeps it without using it: nestvec
reads it there for the rows of an insert."""

_TEI_CHUNK: Final = 32
"""Texts of a request of Milvus's ``tei`` provider if its Function has no such parameter."""

_DOCUMENT_PROMPT: Final = "document_prompt"
"""The parameter of an endpoint's query string that names the prompt which Milvus puts before documents."""

NO_KEY: Final = "unused"
"""Milvus Lite requires an API key for every service, even for one without keys."""

_FINGERPRINT: Final = "fingerprint"
"""The parameter of a Function of Milvus Lite in which older versions of nestvec recorded the encoder's
fingerprint. Lite never sent it; the model's name has it now."""

_NOTE_PREFIX: Final = "nestvec: "
"""Prefix of a field's description that says who fills it."""

_NOTE_PROPERTY_PREFIX: Final = "nestvec.embed."
"""Prefix of the name of a collection property that says the same about a field."""


@dataclass(frozen=True)
class Endpoint:
    """Who calls which service for a field's vectors, and how they are made."""

    caller: CallerName
    """The provider of Milvus, or ``nestvec``."""

    service: str
    """Base URL of the service: scheme, host and port."""

    config: EmbeddingConfig

    chunk: int | None = field(default=None, compare=False)
    """Texts in a request, as the Function says; None if it does not say."""

    @property
    def sends_prompts(self) -> bool:
        """Whether the encoder's prompts are put before texts."""
        provider = find_provider(self.caller)
        return provider is None or provider.sends_prompts

    @property
    def max_insert_rows(self) -> int:
        """The maximum number of rows in one insert."""
        provider = find_provider(self.caller)
        chunk = self.chunk if provider is None else provider.fixed_chunk or self.chunk
        return min(CALLS_PER_INSERT * chunk, MAX_INSERT_ROWS) if chunk else MAX_INSERT_ROWS


class Provider(ABC):
    """A provider of Milvus's Functions: its params and its capabilities."""

    name: ClassVar[ProviderName]

    fixed_chunk: ClassVar[int | None] = None
    """Texts in a request, of a provider that lets no Function choose."""

    sends_prompts: ClassVar[bool] = True
    """Whether queries and documents reach the encoder with its prompts."""

    needs_credential: ClassVar[bool] = True
    """Whether the API key is in Milvus's own configuration, and a Function only has its name."""

    cluster_path: ClassVar[str] = ""
    """Path of the service's address in milvus.yaml, where one there applies to all Functions; empty if each
    Function has its own address."""

    @property
    def has_own_address(self) -> bool:
        """Whether a Function has the service's address."""
        return not self.cluster_path

    @abstractmethod
    def write_params(self, service: str, config: EmbeddingConfig, calls: MilvusCalls) -> FunctionParams:
        """The params of a TEXTEMBEDDING Function (contracts: Milvus 2.6, Milvus Lite 3.2)."""

    @abstractmethod
    def read_params(self, params: Mapping[str, Any]) -> Endpoint | None:
        """The endpoint that the params of a Function describe; None if they do not name a nestvec service.

        Raises NestvecError, ValueError if they are malformed.
        """

    def for_form(self, form: Form) -> Provider:
        """The provider of the same Milvus that fills fields of this form. Raises StoreRefused."""
        return self

    first_release: ClassVar[Release | None] = None
    """The first release of Milvus in which it fills all forms that it is for; None for all that have it."""

    def check_release(self, version: ServerVersion) -> None:
        """Raise StoreRefused if the server is certainly older than what the provider needs."""
        if self.first_release is not None and version.before(self.first_release):
            release = ".".join(map(str, self.first_release))
            raise StoreRefused(
                f"the {self.name} provider of Milvus before {release} does not fill INT8_VECTOR fields",
                value=version.text,
                next_step=f"Omit the provider, so that cohere does; or upgrade Milvus to {release}.",
            )

    def tells_roles(self, prompts: Mapping[str, str]) -> bool:
        """Whether a request says which texts are queries, of an encoder with these prompts: Milvus puts a
        query's before it."""
        return self.sends_prompts and bool(prompts.get("query"))

    def check_prompts(self, config: EmbeddingConfig) -> None:
        """Raise StoreRefused for named prompts that differ by role, which this Milvus does not say."""
        named = config.prompt is not None or config.query_prompt is not None
        # nestvec embeds the queries and documents of sparse fields itself.
        if self.sends_prompts or not named or config.is_symmetric or config.form == "sparse":
            return
        document, query = config.prompt_name("document"), config.prompt_name("query")
        # Not a role's default prompt, which the encoder may lack.
        same = f"prompt {query!r}" if config.prompt is None else f"query_prompt {document!r}"
        raise StoreRefused(
            "Milvus Lite does not distinguish queries from documents, and their prompts differ",
            value=f"{document} and {query}",
            next_step=f"Name one prompt for both, for example {same}, or use a Milvus server, version 2.6 or "
            "later.",
        )


class OpenAIProvider(Provider):
    """Milvus Lite's only provider: the config is sent as a model's name and ``dimensions``."""

    name = "openai"
    sends_prompts = False
    needs_credential = False

    def write_params(self, service: str, config: EmbeddingConfig, calls: MilvusCalls) -> FunctionParams:
        return {
            "provider": self.name,
            "base_url": f"{service}/v1",
            "model_name": format_model_name(config, with_fingerprint=True),
            **_chosen("dimensions", config.dim),
            "api_key": calls.key.api_key if calls.key else NO_KEY,
            _CHUNK: calls.chunk,
        }

    def read_params(self, params: Mapping[str, Any]) -> Endpoint | None:
        parts = urlsplit(str(params.get("base_url", "")))
        name = str(params.get("model_name", ""))
        if not parts.netloc or not name:
            return None
        config = parse_model_name(name)
        config = replace(config, fingerprint=config.fingerprint or params.get(_FINGERPRINT))
        return Endpoint(self.name, f"{parts.scheme}://{parts.netloc}", config, _read_chunk(params))

    def for_form(self, form: Form) -> Provider:
        if form in ("float", "sparse"):
            return self
        raise StoreRefused(
            f"Milvus Lite has no {VECTOR_TYPES[form]} fields",
            value=f"form {form}",
            next_step="Omit form and choose fewer dims, or use a Milvus server, version 2.6 or later.",
        )


class TeiProvider(Provider):
    """The provider of Milvus 2.6 or later: the config is sent in the endpoint's query string."""

    name = "tei"

    def write_params(self, service: str, config: EmbeddingConfig, calls: MilvusCalls) -> FunctionParams:
        params: FunctionParams = {
            "provider": self.name,
            "endpoint": f"{service}?{urlencode(self._query_string(config) | {'deadline': calls.deadline})}",
            _CHUNK: calls.chunk,
            **_chosen("timeout_ms", calls.timeout_ms),
        }
        if config.prompts.document:
            params["ingestion_prompt"] = config.prompts.document
        if config.prompts.query:
            params["search_prompt"] = config.prompts.query
        return params | credential_params(calls.key, calls.version)

    def read_params(self, params: Mapping[str, Any]) -> Endpoint | None:
        endpoint = _read_address(str(params.get("endpoint", "")), self.name)
        if endpoint is None:
            return None
        prompts = Prompts(str(params.get("ingestion_prompt", "")), str(params.get("search_prompt", "")))
        query = parse_qs(urlsplit(str(params["endpoint"])).query, keep_blank_values=True)
        prompt = endpoint.config.prompt or query.get(_DOCUMENT_PROMPT, [None])[0]
        config = replace(endpoint.config, prompt=prompt, prompts=prompts)
        return replace(endpoint, config=config, chunk=_read_chunk(params) or _TEI_CHUNK)

    def _query_string(self, config: EmbeddingConfig) -> dict[str, str | int | float]:
        """The config; if it has named prompts, the service is asked for none, as Milvus puts them itself."""
        parameters: dict[str, str | int | float] = {**query_parameters(config)}
        named = config.prompt is not None or config.query_prompt is not None
        if config.prompt is not None:
            parameters[_DOCUMENT_PROMPT] = config.prompt
        return parameters | ({"prompt": ""} if named or config.prompts.default else {})

    def for_form(self, form: Form) -> Provider:
        return PROVIDERS["cohere"] if form == "int8" else self


class ClusterProvider(Provider):
    """A provider that fills INT8_VECTOR fields, at one address for the whole cluster. Milvus says by the
    input type which of the encoder's prompts the service puts before the texts."""

    def tells_roles(self, prompts: Mapping[str, str]) -> bool:
        """Always: the ``input_type`` says it."""
        return True

    def write_params(self, service: str, config: EmbeddingConfig, calls: MilvusCalls) -> FunctionParams:
        with_dim = not self.sends_dim(calls)
        params: FunctionParams = {
            "provider": self.name,
            "model_name": format_model_name(config, with_dim=with_dim, with_fingerprint=True),
        }
        return params | _chosen("dim", config.dim) | credential_params(calls.key, calls.version)

    def sends_dim(self, calls: MilvusCalls) -> bool:
        """Whether the server's release certainly sends the Function's dim; its model name has it
        otherwise."""
        return True

    def read_params(self, params: Mapping[str, Any]) -> Endpoint | None:
        """Always None: the params never name the service, but the field's note does."""
        return None


class CohereProvider(ClusterProvider):
    """The provider of INT8_VECTOR fields in every release from 2.6."""

    name = "cohere"
    fixed_chunk = 96
    cluster_path = "/v2/embed"

    def sends_dim(self, calls: MilvusCalls) -> bool:
        return calls.version.at_least(CALLS_COHERE_WITH_DIM) is True


class VoyageProvider(ClusterProvider):
    """The other provider of INT8_VECTOR fields, for clusters whose ``cohere`` address is another's.

    Not every release says in the request that it wants int8, and so the address does.
    """

    name = "voyageai"
    fixed_chunk = 128
    cluster_path = "/v1/embeddings?output_dtype=int8"
    first_release = CALLS_VOYAGE_WITH_TYPE

    def for_form(self, form: Form) -> Provider:
        return self if form == "int8" else PROVIDERS["tei"]


PROVIDERS: Final[Mapping[ProviderName, Provider]] = {
    provider.name: provider
    for provider in (TeiProvider(), OpenAIProvider(), CohereProvider(), VoyageProvider())
}


def find_provider(name: str) -> Provider | None:
    """The provider of this name in a Function's params; None if nestvec does not know it."""
    return next((provider for provider in PROVIDERS.values() if provider.name == name.lower()), None)


def default_provider(*, lite: bool) -> ProviderName:
    """The provider of Milvus Lite, or of Milvus from 2.6."""
    return "openai" if lite else "tei"


def choose_provider(name: ProviderName, form: Form) -> Provider:
    """The provider that fills fields of this form, on a Milvus whose default provider is ``name``.

    Raises SpecError if there is no such form, StoreRefused if that Milvus has no such fields.
    """
    if form not in VECTOR_TYPES:
        raise SpecError(
            "there is no such vector form",
            value=form,
            next_step=f"Choose {', '.join(VECTOR_TYPES)}.{nearest(str(form), VECTOR_TYPES)}",
        )
    return PROVIDERS[name].for_form(form)


def read_params(params: Mapping[str, Any]) -> Endpoint | None:
    """The endpoint in a Function's params; None if they do not name a nestvec service."""
    provider = find_provider(str(params.get("provider", "")))
    try:
        return provider.read_params(params) if provider else None
    except (NestvecError, ValueError):  # a name with an @ of another kind, or a malformed port
        return None


def write_note(service: str, config: EmbeddingConfig, source: str) -> str:
    """The description of a field that ``service`` fills from the column ``source``."""
    return f"{_NOTE_PREFIX}{service}?{urlencode(query_parameters(config) | {'source': source})}"


def note_property(column: str) -> str:
    """The property of a collection that holds a field's note."""
    return f"{_NOTE_PROPERTY_PREFIX}{column}"


def read_note(description: str, caller: CallerName) -> tuple[str, Endpoint] | None:
    """The source column, and the endpoint that ``caller`` calls; None if the description is not a note."""
    if not description.startswith(_NOTE_PREFIX):
        return None
    try:
        address = description.removeprefix(_NOTE_PREFIX)
        source = parse_qs(urlsplit(address).query).get("source")
        endpoint = _read_address(address, caller)
    except ValueError:
        return None
    return (source[0], endpoint) if source and endpoint else None


def _chosen(name: str, value: str | int | None) -> FunctionParams:
    return {} if value is None else {name: value}


def _read_chunk(params: Mapping[str, Any]) -> int | None:
    """The texts of a request. Raises ValueError if they are not a number."""
    return int(params[_CHUNK]) if _CHUNK in params else None


def _read_address(address: str, caller: CallerName) -> Endpoint | None:
    parts = urlsplit(address)
    config = parse_query(parts.query)
    return None if config is None else Endpoint(caller, f"{parts.scheme}://{parts.netloc}", config)
