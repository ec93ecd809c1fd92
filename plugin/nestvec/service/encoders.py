"""The encoders that a service serves: manifest and tokenizer, opened from the model repository."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from nestvec.images import address_problem, is_address
from nestvec.service.preprocess.byte_tokenizer import ByteTokenizer
from nestvec.service.preprocess.inputs import EmbedInput, InstructedText, PlainText, UnpromptedText
from nestvec.service.preprocess.messages import is_message
from nestvec.service.preprocess.tokenizer import EncoderTokenizer, TextTokenizer
from nestvec_schemas.bridges.bridge import possible_splits, served_name
from nestvec_schemas.bridges.view import bridge_view, graph_dim, selected_bridge
from nestvec_schemas.errors import EncoderNotFound, NotOffered, RequestError, nearest
from nestvec_schemas.late_interaction import Role
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.packed_outputs import unpack
from nestvec_schemas.preprocessing.byte_tokens import UNIT_SCHEMES
from nestvec_schemas.preprocessing.chat import ChatLayout
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.preprocessing.frames import read_sequence
from nestvec_schemas.repository import (
    FONT,
    TOKENIZER,
    encoder_names,
    find_encoder,
    part_folder,
    read_manifest,
)
from nestvec_schemas.towers import MAIN_PART, Modality, Tower


@dataclass(frozen=True)
class LoadedEncoder:
    """One encoder of the model repository, and how the service reads its inputs."""

    manifest: Manifest
    tokenizer: TextTokenizer | None
    """None for an encoder without a text tower, or one that renders text as pixels."""
    font: Path | None = None
    """The font that text is rendered with, None for Pillow's own."""
    expert_tokenizers: Mapping[str, TextTokenizer] = field(default_factory=dict)
    """The tokenizers of experts that have their own."""
    base: str | None = None
    """The encoder whose pass gives this one's outputs too; None for its own."""
    packed: bool = False
    """Whether several outputs of that pass are in one array."""

    def output(self, computed: Array) -> Array:
        """This encoder's output of what a pass computed for one input."""
        if self.packed:
            return unpack(computed, self.manifest.kind)
        # Rows are as long as the longest vectors of the graph, which a bridge's may be.
        return computed[: self.manifest.dim] if self.manifest.bridges is not None else computed

    @cached_property
    def parts(self) -> Mapping[str, Modality]:
        """The manifest's ``parts``, which every request looks at."""
        return self.manifest.parts

    @cached_property
    def prompt_texts(self) -> tuple[str, ...]:
        """The texts of the prompts that have one."""
        return tuple(filter(None, self.manifest.prompts.values()))

    def tower_of_part(self, part: str) -> Tower:
        """What the graph of a part takes and gives."""
        return self.manifest.expert_towers.get(part) or self.manifest.towers[self.parts[part]]

    def graph_exit(self, role: Role | None) -> int | None:
        """The exit at which the graph gives a bridge's vectors of texts on one side of a search; of texts
        whose side is not known, those of documents. None for the encoder's own vectors."""
        bridge = selected_bridge(self.manifest)
        return None if bridge is None else bridge.exit_for(role)

    @cached_property
    def has_query_head(self) -> bool:
        """Whether it is a bridge that maps queries in another way than documents."""
        bridge = selected_bridge(self.manifest)
        return bridge is not None and bridge.query_exit is not None

    def graph_dim(self, part: str) -> int:
        """Length of the rows that a pass of a part computes."""
        return graph_dim(self.manifest) if part == MAIN_PART else self.manifest.dim

    def with_outputs(self) -> dict[str, LoadedEncoder]:
        """The encoder, and what else its pass gives as encoders, by name: other outputs, and bridges."""
        manifests = [self.manifest.output(kind) for kind in self.manifest.outputs]
        bridges = self.manifest.bridges
        manifests += [bridge_view(self.manifest, name) for name in (bridges.maps if bridges else ())]
        outputs = {
            manifest.name: replace(self, manifest=manifest, base=self.manifest.name) for manifest in manifests
        }
        return {self.manifest.name: self, **outputs}

    @property
    def required_tokenizer(self) -> TextTokenizer:
        """The tokenizer. Raises NotOffered if the encoder has none."""
        if self.tokenizer is None and "text" in self.manifest.towers:
            raise NotOffered(
                f"{self.manifest.name} reads text as pixels and has no tokens",
                next_step="Request vectors of the text instead.",
            )
        if self.tokenizer is None:
            raise NotOffered(
                f"{self.manifest.name} takes images and no text",
                next_step="Send an image's address: file:, https: or data:.",
            )
        return self.tokenizer

    def tokenizer_of(self, part: str) -> TextTokenizer:
        """The tokenizer of a part's texts. Raises NotOffered if the encoder has none."""
        return self.expert_tokenizers.get(part) or self.required_tokenizer

    @property
    def chat(self) -> ChatLayout | None:
        """The message layout of an encoder that reads an image and a text together, None for others."""
        text = self.manifest.towers.get("text")
        return text.chat if text is not None else None

    @property
    def reads_images(self) -> bool:
        """Whether an input may be an image."""
        return "image" in self.manifest.towers or self.chat is not None

    @property
    def averages_chunks(self) -> bool:
        """Whether an overlong text can be embedded as the mean of its chunks.

        Only dense vectors have a mean, and a message's layout cannot be split.
        """
        return self.manifest.kind == "dense" and self.chat is None and self.tokenizer is not None

    def has_image(self, text: str) -> bool:
        """Whether an input is or contains an image; for a chat model, whether it is more than a text."""
        value = self.without_prompt(text)
        if self.chat is not None:
            return isinstance(value, InstructedText) or (isinstance(value, str) and is_message(value))
        return self.tower_of(value) == "image"

    def tower_of(self, value: EmbedInput) -> Modality:
        """The tower for an input; if the encoder has both, a text that is an address names an image."""
        towers = self.manifest.towers
        if "image" not in towers:
            return "text"
        if "text" not in towers:
            return "image"
        if not isinstance(value, str) or isinstance(value, PlainText):
            return "text"
        return "image" if _is_image_address(value, towers["image"]) else "text"

    @property
    def distinguishes_roles(self) -> bool:
        """Whether it reads queries in another way than documents, beyond their prompts."""
        text = self.manifest.towers.get("text")
        interacts = text is not None and text.interaction is not None
        return interacts or self.manifest.query_expert is not None or self.has_query_head

    def role_of(self, value: EmbedInput, role: Role | None = None) -> Role | None:
        """Whether an input is a query or a document: ``role`` if a request says it, else by the prompt that
        the input starts with, which Milvus puts before its texts. None if neither says it, as a prompt of
        both sides does not, and for an encoder that reads both alike."""
        if not self.distinguishes_roles:
            return None
        if role is not None or not isinstance(value, str) or isinstance(value, UnpromptedText):
            return role
        prompts: dict[Role, str] = {"query": self.manifest.prompt("query")}
        prompts["document"] = self.manifest.prompt("document")
        default = self.manifest.prompts.get(self.manifest.default_prompt or "")
        # What is stored must not pass the head of queries.
        if prompts["query"] == prompts["document"] or (self.has_query_head and default == prompts["query"]):
            return None
        starting = [name for name, text in prompts.items() if text and value.startswith(text)]
        return max(starting, key=lambda name: len(prompts[name]), default=None)

    def part_of(self, value: EmbedInput, expert: str | None = None, role: Role | None = None) -> str:
        """The part that embeds an input: of a query, the encoder's query expert if it has one, unless
        ``expert`` names another. Raises ExpertNotOffered."""
        tower = self.tower_of(value)
        queries = self.manifest.query_expert
        if expert is None and queries and tower == "text" and self.role_of(value, role) == "query":
            expert = queries
        return self.manifest.part(tower, expert)

    def without_prompt(self, value: EmbedInput) -> EmbedInput:
        """The input without its prompt, if it names images; a chat model's is its instruction.

        Milvus puts the prompts of its ``tei`` functions before every text, addresses included.
        """
        if self.chat is not None:
            return self._with_instruction(value)
        image = self.manifest.towers.get("image")
        if image is None or not isinstance(value, str) or isinstance(value, PlainText):
            return value
        for prompt in self.manifest.prompts.values():
            if value.startswith(prompt) and _is_image_address(value.removeprefix(prompt), image):
                return value.removeprefix(prompt)
        return value

    def _with_instruction(self, value: EmbedInput) -> EmbedInput:
        for prompt in filter(None, self.manifest.prompts.values()):
            if isinstance(value, str) and value.startswith(prompt) and is_message(value.removeprefix(prompt)):
                return InstructedText(value.removeprefix(prompt), prompt)
        return value


class EncoderNames(Mapping[str, LoadedEncoder]):
    """Encoders by their own names, and further names for them."""

    @property
    def aliases(self) -> Mapping[str, str]:
        """The encoder that each further name stands for."""
        raise NotImplementedError


def _is_image_address(text: str, tower: Tower) -> bool:
    """Whether a text is an image's address, or was meant as one, which is refused later; or, for a tower of
    frames, a list of addresses."""
    if tower.frames > 1 and text.lstrip().startswith("["):
        try:
            return all(map(_is_meant_as_address, read_sequence(text)))
        except RequestError:
            return False
    return _is_meant_as_address(text)


def _is_meant_as_address(text: str) -> bool:
    return is_address(text) or address_problem(text) is not None


def open_encoders(models: Path, names: tuple[str, ...] = ()) -> dict[str, LoadedEncoder]:
    """Open the named encoders of a repository, or all of them if no names are given.

    Raises EncoderNotFound (also if there is none), ManifestCorrupt, ManifestTooNew.
    """
    encoders = [open_encoder(find_encoder(models, name)) for name in selected_names(models, names)]
    return {name: loaded for own in encoders for name, loaded in own.with_outputs().items()}


def selected_names(models: Path, names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """``names``, each once, or those of a repository's encoders. Raises EncoderNotFound if it has none."""
    names = names or encoder_names(models)
    if not names:
        raise EncoderNotFound(
            "there is no encoder in the model repository",
            value=str(models),
            next_step="Export one first: nestvec export CHECKPOINT --to MODELS --name NAME.",
        )
    return tuple(dict.fromkeys(names))


def open_encoder(folder: Path, previous: LoadedEncoder | None = None) -> LoadedEncoder:
    """Open one encoder by its folder; its tokenizer is that of ``previous`` if their files are the same.

    Raises EncoderNotFound, ManifestCorrupt, ManifestTooNew.
    """
    manifest = read_manifest(folder)
    text = manifest.towers.get("text")
    if text is None:
        return LoadedEncoder(manifest, None)
    if text.rendering is not None:
        font = folder / FONT
        return LoadedEncoder(manifest, None, font if font.is_file() else None)
    if text.scheme != "tokenizer":
        return LoadedEncoder(manifest, ByteTokenizer(UNIT_SCHEMES[text.scheme], text.max_tokens))
    own: dict[str, TextTokenizer] = {
        name: EncoderTokenizer(part_folder(folder, name) / TOKENIZER, tower.max_tokens)
        for name, tower in manifest.expert_towers.items()
    }
    tokenizer = _same_tokenizer(manifest, previous) or EncoderTokenizer(folder / TOKENIZER, text.max_tokens)
    packed = bool(manifest.outputs)
    return LoadedEncoder(manifest, tokenizer, expert_tokenizers=own, packed=packed)


def _same_tokenizer(manifest: Manifest, previous: LoadedEncoder | None) -> TextTokenizer | None:
    """The tokenizer of ``previous``, if it reads the same file in the same way: reading a large one stops all
    other threads meanwhile."""
    if previous is None or TOKENIZER not in manifest.files:
        return None
    before = previous.manifest
    is_same = manifest.files[TOKENIZER] == before.files.get(TOKENIZER) and manifest.towers.get(
        "text"
    ) == before.towers.get("text")
    return previous.tokenizer if is_same else None


def resolve_encoder(encoders: Mapping[str, LoadedEncoder], name: str | None) -> str:
    """The encoder that a request names, perhaps by an alias, or the only one. Raises EncoderNotFound."""
    aliases: Mapping[str, str] = getattr(encoders, "aliases", {})  # of EncoderNames
    if name:
        if name in encoders:
            return name
        name = _resolve_alias(name, aliases, encoders)
        if name in encoders:
            return name
        raise EncoderNotFound(
            "the service has no encoder of this name",
            value=name,
            next_step=f"Available: {_names(encoders, aliases)}.{nearest(name, [*encoders, *aliases])}",
        )
    own = [key for key, encoder in encoders.items() if encoder.base is None]
    if len(own) != 1:
        raise EncoderNotFound(
            f"the service has {len(own)} encoders and the request names none",
            next_step=f"Add ?encoder=NAME to the address. Available: {_names(encoders, aliases)}.",
        )
    return own[0]


def bridge_by_alias(name: str, aliases: Mapping[str, str], encoders: Collection[str]) -> str | None:
    """The bridge among ``encoders`` that a name such as ``ALIAS.as.OTHER`` means; None if it means none."""
    for alias, bridge in possible_splits(name):
        if alias in aliases and (served := served_name(aliases[alias], bridge)) in encoders:
            return served
    return None


def _resolve_alias(name: str, aliases: Mapping[str, str], encoders: Collection[str]) -> str:
    """The encoder that a name stands for; an alias may be the part before a bridge's name too."""
    if name in aliases:
        return aliases[name]
    if (bridge := bridge_by_alias(name, aliases, encoders)) is not None:
        return bridge
    # The error then names the bridge that the encoder does not have.
    absent = (served_name(aliases[alias], key) for alias, key in possible_splits(name) if alias in aliases)
    return next(absent, name)


def _names(encoders: Iterable[str], aliases: Iterable[str]) -> str:
    return ", ".join(sorted([*encoders, *aliases]))
