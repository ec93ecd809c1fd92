"""The encoder manifest (``encoder.json``): everything that a reader must know about an exported encoder."""

from __future__ import annotations

import json
import re
from typing import Annotated, Final, Literal

from pydantic import AliasChoices, Field, ValidationError, field_validator, model_validator

from nestvec_schemas.bridges.bridge import Bridges
from nestvec_schemas.capabilities import check_exit, check_expert, check_prompt_name
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import DimNotOffered, ManifestCorrupt, ManifestTooNew, SpecError
from nestvec_schemas.packed_outputs import SUFFIXES
from nestvec_schemas.towers import (
    QUERY_EXPERT,
    FingerprintRecord,
    Modality,
    OutputKind,
    Record,
    Tower,
    first_tower,
    part_of,
)

MANIFEST_FORMAT: Final = 5
"""The manifest format that this version writes. It also reads 1, which has no rotations, 2, which has only
text encoders, 3, which has only the prompts of queries and documents, and 4, whose ``int8`` is what is now
``int8-dynamic``."""

_FIRST_STATIC_FORMAT: Final = 5
"""The first format in which ``int8`` has measured ranges."""

ENCODER_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
"""What distinguishes two versions of an encoder: ``2`` in ``minilm:2``."""

TAG_SEPARATOR: Final = ":"

ENCODER_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}(?:{TAG_SEPARATOR}{ENCODER_TAG.pattern})?")
"""An encoder's name, with a tag if it is served beside another version of the encoder."""

ENCODER_NAME_RULE: Final = (
    "Use at most 64 letters, digits, '.', '_' and '-', starting with a letter or digit; a tag may follow, as "
    "in minilm:2."
)

EXPERT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
"""It begins with a letter, which distinguishes it from an exit in ``NAME@EXPERT``."""

Precision = Literal["fp32", "fp16", "int8", "int8-dynamic", "int8-weights", "int4-weights"]
"""``int8`` has ranges of activations that were measured once, ``int8-dynamic`` one range per batch;
``int8-weights`` and ``int4-weights`` compute in float."""

Nesting = Literal["plain", "trained", "rotated"]
RotationMethod = Literal["pca", "learned"]
PromptName = str
"""A prompt's name: one of the checkpoint's own, or a role, ``query`` or ``document``."""

VerifyLevel = Literal["full", "quick"]


class Verification(Record):
    """How close the exported vectors are to the checkpoint's own, as cosines over real sentences."""

    sentences: Annotated[int, Field(ge=1)]
    """Number of sentences."""

    cosine_min: float
    cosine_mean: float
    level: VerifyLevel | None = None
    """How much was compared; None if the manifest does not say."""

    reference: str | None = None
    """What the vectors were compared with, with its version; None for nestvec's own reading of the
    checkpoint, which is no independent reference."""

    served: bool = False
    """Whether the service's own code tokenized, batched, truncated and normalised the compared inputs."""

    max_tokens: int | None = None
    """Tokens of the longest text that was compared; None if the manifest does not say."""

    groups: dict[str, float] = Field(default_factory=dict)
    """The smallest cosine of each group of inputs: prompts, lengths, characters, batches and others."""

    seconds: float | None = None
    """How long the comparison took."""


class FitSummary(Record):
    """What was fitted on the encoder's own vectors of a sample, without labels."""

    method: RotationMethod | None
    """The rotation's method; None if only maps of exits were fitted."""

    sample: str
    """Where the texts came from."""

    sample_texts: Annotated[int, Field(ge=1)] | None = Field(
        None, validation_alias=AliasChoices("sample_texts", "drawn"), serialization_alias="drawn"
    )
    """Number of distinct texts in the sample; None in a manifest that does not say."""

    texts: Annotated[int, Field(ge=1)]
    """Number of texts, and of queries for them, that were fitted on."""

    held_out: Annotated[int, Field(ge=1)]
    """Number of texts, and of sentences of them, that retention was measured on."""

    seed: int
    plain: dict[int, float] = Field(default_factory=dict)
    """Retention per dim of the same encoder without the rotation."""

    queries: str | None = None
    """Where real queries came from; None if queries were sampled from the texts."""

    learned_from: str | None = None
    """The rotation that was chosen, as ``compared`` names it."""

    compared: dict[str, float] = Field(default_factory=dict)
    """The nDCG@10 at short dims of the nearest text at full length, for each rotation of a choice, over
    held-out queries of several kinds."""


class ExitQuality(Record):
    """How good one exit is, over held-out texts."""

    retention: dict[int, float]
    """Retention per dim."""

    cosine: float
    """Mean cosine to the deepest exit."""


class QuantisationSummary(Record):
    """How an encoder was quantised, and how near the result is to the same encoder in float."""

    sample: str
    """Where the inputs came from."""

    inputs: Annotated[int, Field(ge=0)]
    """Number of inputs that ranges were measured on; 0 where only weights are quantised."""

    held_out: Annotated[int, Field(ge=1)]
    """Number of other inputs, over which the cosines are."""

    cosine_min: float
    cosine_mean: float
    float_layers: tuple[str, ...] = ()
    """Operators in a higher precision than the others, by their names in the graph, the most sensitive first:
    float, or 8 bits among weights of 4."""


class Manifest(Record):
    """An exported encoder."""

    format: Literal[1, 2, 3, 4, 5] = MANIFEST_FORMAT
    name: str
    source: str
    """The checkpoint that it was exported from."""

    trust_remote_code: bool = False
    """Whether the checkpoint's own Python code was allowed to run during the export."""

    kind: OutputKind = "dense"
    outputs: dict[OutputKind, int] = Field(default_factory=dict)
    """What the same pass gives besides ``kind``, each with its dim, in one array (``packed_outputs``). A
    service serves each of them as an encoder of its own."""

    towers: dict[Modality, Tower]
    experts: dict[str, str] = Field(default_factory=dict)
    """The checkpoint of each expert: weights for the text tower that a request may choose by name."""

    expert_towers: dict[str, Tower] = Field(default_factory=dict)
    """The towers of experts that read texts in another way than the text tower: by another tokenizer, which
    is in the expert's own folder, or up to another length."""

    dim: Annotated[int, Field(ge=1)]
    dims: tuple[int, ...]
    """The ladder of useful prefixes, longest first; ``dims[0] == dim``."""

    layers: tuple[int, ...]
    """The ladder of exits, deepest first: layers after which a pass may stop, all in one space."""

    normalised: bool
    """Whether vectors have length 1."""

    prompts: dict[PromptName, str]
    """The checkpoint's prompts by their own names, and as ``query`` and ``document`` those of queries and
    documents, where it has any."""

    default_prompt: PromptName | None = None
    """The prompt before texts for which none is named; None for none."""

    prompt_notes: tuple[str, ...] = ()
    """What the export says of the prompts: which was chosen for a role, and what has none."""

    precision: Precision
    quantisation: QuantisationSummary | None = None
    """How the main tower was quantised; None for what was not calibrated or compared on held-out inputs."""

    part_quantisations: dict[str, QuantisationSummary] = Field(default_factory=dict)
    """The same for each other part, by its name: a second tower, an expert."""

    nesting: Nesting = "plain"
    retention: dict[int, float] = Field(default_factory=dict)
    """Per dim, the share of the full vectors' ten nearest neighbours that are among the prefixes' ten
    nearest, where it was measured."""

    exits: dict[int, ExitQuality] = Field(default_factory=dict)
    """The same for every exit but the deepest."""

    fit: FitSummary | None = None
    bridges: Bridges | None = None
    """Maps into the spaces of other encoders; None for none."""

    declarations: dict[str, dict[str, str]] = Field(default_factory=dict)
    """What the checkpoint declares, by file and key (empty for a file as a whole): ``honoured: …``,
    ``irrelevant: …`` or ``ignored: …``, with what honours it or why it does not matter."""

    verification: Verification
    files: dict[str, str]
    """SHA-256 of each file, by its path inside the encoder's folder; ``@PART/`` begins that of another
    part."""

    created_with: dict[str, str]
    """Versions of the packages that exported it."""

    fingerprint: FingerprintRecord | None = None
    """What identifies the encoder; None in a manifest that does not say, whose files identify it."""

    @model_validator(mode="before")
    @classmethod
    def _int8_was_dynamic(cls, fields: object) -> object:
        """Rename the precision of an earlier format."""
        if not isinstance(fields, dict) or fields.get("precision") != "int8":
            return fields
        if fields.get("format", MANIFEST_FORMAT) not in range(1, _FIRST_STATIC_FORMAT):
            return fields
        return {**fields, "precision": "int8-dynamic"}

    @field_validator("name")
    @classmethod
    def _name_is_safe(cls, name: str) -> str:
        if not ENCODER_NAME.fullmatch(name):
            raise ValueError(
                "must be at most 64 letters, digits, '.', '_' and '-', and perhaps a tag, as minilm:2"
            )
        return name

    @field_validator("files")
    @classmethod
    def _files_stay_inside(cls, files: dict[str, str]) -> dict[str, str]:
        for path in files:
            if path.startswith("/") or "\\" in path or ".." in path.split("/"):
                raise ValueError(f"{path} leaves the encoder's folder")
        return files

    @field_validator("experts")
    @classmethod
    def _experts_are_safe(cls, experts: dict[str, str]) -> dict[str, str]:
        for name in experts:
            if not EXPERT_NAME.fullmatch(name) or name in ("text", "image"):
                raise ValueError(f"{name} cannot be an expert's name")
        return experts

    @model_validator(mode="after")
    def _expert_towers_are_of_experts(self) -> Manifest:
        unknown = [name for name in self.expert_towers if name not in self.experts]
        if unknown:
            raise ValueError(f"expert_towers has {unknown[0]}, which is no expert")
        return self

    @model_validator(mode="after")
    def _default_prompt_exists(self) -> Manifest:
        if self.default_prompt is not None and self.default_prompt not in self.prompts:
            raise ValueError(f"default_prompt is {self.default_prompt}, which is no prompt")
        return self

    @model_validator(mode="after")
    def _has_a_tower(self) -> Manifest:
        if not self.towers:
            raise ValueError("there must be at least one tower")
        return self

    @model_validator(mode="after")
    def _dims_descend_from_dim(self) -> Manifest:
        if self.dims[:1] != (self.dim,) or list(self.dims) != sorted(set(self.dims), reverse=True):
            raise ValueError(f"dims must descend from dim={self.dim}, got {list(self.dims)}")
        if self.dims[-1] < 1:
            raise ValueError("dims must be at least 1")
        return self

    @model_validator(mode="after")
    def _layers_descend(self) -> Manifest:
        if not self.layers or list(self.layers) != sorted(set(self.layers), reverse=True):
            raise ValueError(f"layers must descend, got {list(self.layers)}")
        return self

    def output(self, kind: OutputKind) -> Manifest:
        """One of ``outputs`` as an encoder of its own, ``NAME.SUFFIX``, or ``NAME.SUFFIX:TAG``."""
        name, colon, tag = self.name.partition(TAG_SEPARATOR)
        dim = self.outputs[kind]
        changes: dict[str, object] = {
            "kind": kind,
            "dim": dim,
            "dims": (dim,),
            "outputs": {},
            "retention": {},
        }
        return self.model_copy(update={**changes, "name": f"{name}.{SUFFIXES[kind]}{colon}{tag}"})

    @property
    def depth(self) -> int:
        """The deepest exit: the number of layers of a full pass."""
        return self.layers[0]

    @property
    def main_tower(self) -> Tower:
        """The tower whose graph is in the encoder's own folder."""
        return self.towers[first_tower(self.towers)]

    @property
    def parts(self) -> dict[str, Modality]:
        """The tower of each part, that is, of each graph, which is a model of its own for Triton."""
        towers: dict[str, Modality] = {part_of(self.towers, tower): tower for tower in self.towers}
        return {**towers, **dict.fromkeys(self.experts, first_tower(self.towers))}

    def tower_of_part(self, part: str) -> Tower:
        """What the graph of a part takes and gives."""
        return self.expert_towers.get(part) or self.towers[self.parts[part]]

    @property
    def query_expert(self) -> str | None:
        """The expert that embeds queries; None if documents and queries have the same weights."""
        return QUERY_EXPERT if QUERY_EXPERT in self.experts else None

    def part(self, tower: Modality, expert: str | None = None) -> str:
        """The part that answers for a tower. Raises ExpertNotOffered."""
        check_expert(EmbeddingConfig(self.name, expert=expert), self)
        return part_of(self.towers, tower, expert)

    def resolve_exit(self, layer: int | None) -> int:
        """The exit a caller means: ``layer``, or the deepest. Raises ExitNotOffered."""
        check_exit(EmbeddingConfig(self.name, exit=layer), self)
        return self.depth if layer is None else layer

    def prompt(self, name: PromptName) -> str:
        """The text of a prompt; empty for a role without a prompt. Raises PromptNotOffered."""
        check_prompt_name(self.name, name, self.prompts)
        return self.prompts.get(name, "")


def parse_manifest(data: bytes, *, path: str) -> Manifest:
    """Read a manifest. Raises ManifestCorrupt or ManifestTooNew, naming ``path``."""
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        cause = "is nested too deeply" if isinstance(error, RecursionError) else "is not JSON"
        raise ManifestCorrupt(
            f"{path} {cause}", value=str(error), next_step="Export the encoder again."
        ) from error
    version = fields.get("format") if isinstance(fields, dict) else None
    if isinstance(version, int) and version > MANIFEST_FORMAT:
        raise ManifestTooNew(
            f"{path} has a later manifest format than {MANIFEST_FORMAT}",
            value=version,
            next_step="Upgrade nestvec, or export the encoder again with this version.",
        )
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the manifest"
        raise ManifestCorrupt(
            f"{path}: {where} is invalid", value=first["msg"], next_step="Export the encoder again."
        ) from error


def dim_ladder(dim: int, dims: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """The prefixes that an encoder of ``dim`` offers, longest first, ``dim`` itself included.

    Without ``dims``: the full length and the powers of two below it, down to 32.
    Raises DimNotOffered when one of ``dims`` is not in 1..dim, SpecError when ``dims`` is empty.
    """
    if dims is None:
        powers = (2**n for n in range(dim.bit_length(), 4, -1))
        return (dim, *(power for power in powers if power < dim))
    if not dims:
        raise SpecError("no dims were chosen", next_step=f"Choose at least one, from 1 to {dim}.")
    for prefix in dims:
        if not 1 <= prefix <= dim:
            raise DimNotOffered(
                "the checkpoint has no vectors of this many dims",
                value=prefix,
                next_step=f"Choose dims from 1 to {dim}.",
            )
    return tuple(sorted({dim, *dims}, reverse=True))
