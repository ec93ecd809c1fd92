"""The encoders that a service holds: manifest and tokenizer, opened from the model repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nestvec.images import is_address
from nestvec.service.preprocess.byte_tokenizer import ByteTokenizer
from nestvec.service.preprocess.inputs import EmbedInput, InstructedText
from nestvec.service.preprocess.messages import is_message
from nestvec.service.preprocess.tokenizer import EncoderTokenizer
from nestvec_schemas.errors import EncoderNotFound, NotOffered, RequestError, nearest
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.preprocessing.byte_tokens import UNIT_SCHEMES
from nestvec_schemas.preprocessing.chat import ChatLayout
from nestvec_schemas.preprocessing.frames import read_sequence
from nestvec_schemas.repository import FONT, TOKENIZER, encoder_names, find_encoder, read_manifest
from nestvec_schemas.towers import Modality, Tower

TextTokenizer = EncoderTokenizer | ByteTokenizer


@dataclass(frozen=True)
class LoadedEncoder:
    """One encoder, and how its texts become ids; None where it takes no text, or draws it by ``font``."""

    manifest: Manifest
    reader: TextTokenizer | None
    font: Path | None = None

    @property
    def tokeniser(self) -> TextTokenizer:
        """How texts become ids. Raises NotOffered where it takes none."""
        if self.reader is None and "text" in self.manifest.towers:
            raise NotOffered(
                f"{self.manifest.name} reads text as pixels, and has no tokens",
                next_step="Ask for vectors of the text.",
            )
        if self.reader is None:
            raise NotOffered(
                f"{self.manifest.name} takes pictures, and no text",
                next_step="Send a picture's address: file:, https: or data:.",
            )
        return self.reader

    @property
    def chat(self) -> ChatLayout | None:
        """How its messages are written, where it reads a picture and a text at once."""
        text = self.manifest.towers.get("text")
        return text.chat if text is not None else None

    @property
    def pictures(self) -> bool:
        """Whether a value of it may be a picture."""
        return "image" in self.manifest.towers or self.chat is not None

    def sees(self, text: str) -> bool:
        """Whether this text is, or has, a picture to it; of a message, whether it is more than a text."""
        plain = self.plain(text)
        if self.chat is not None:
            return isinstance(plain, InstructedText) or (isinstance(plain, str) and is_message(plain))
        return self.tower(plain) == "image"

    def tower(self, value: EmbedInput) -> Modality:
        """The tower that an input is for: where there are both, a text that is an address names a picture."""
        towers = self.manifest.towers
        if "image" not in towers:
            return "text"
        if "text" not in towers:
            return "image"
        return "image" if isinstance(value, str) and _is_image_address(value, towers["image"]) else "text"

    def plain(self, value: EmbedInput) -> EmbedInput:
        """The input, where it names pictures without the prompt before it, which is a message's instruction.

        Milvus puts the prompts of its ``tei`` functions before every text, and knows no address.
        """
        if self.chat is not None:
            return self._instructed(value)
        image = self.manifest.towers.get("image")
        if image is None or not isinstance(value, str):
            return value
        for prompt in self.manifest.prompts.values():
            if value.startswith(prompt) and _is_image_address(value.removeprefix(prompt), image):
                return value.removeprefix(prompt)
        return value

    def _instructed(self, value: EmbedInput) -> EmbedInput:
        for prompt in filter(None, self.manifest.prompts.values()):
            if isinstance(value, str) and value.startswith(prompt) and is_message(value.removeprefix(prompt)):
                return InstructedText(value.removeprefix(prompt), prompt)
        return value


def _is_image_address(text: str, tower: Tower) -> bool:
    """Whether a text is a picture's address; of a tower of frames, also a list of several."""
    if tower.frames > 1 and text.lstrip().startswith("["):
        try:
            return all(map(is_address, read_sequence(text)))
        except RequestError:
            return False
    return is_address(text)


def open_encoders(models: Path, names: tuple[str, ...] = ()) -> dict[str, LoadedEncoder]:
    """Open the named encoders of a repository, all of them without names.

    Raises EncoderNotFound (also when there is none), ManifestCorrupt, ManifestTooNew.
    """
    chosen = names or encoder_names(models)
    if not chosen:
        raise EncoderNotFound(
            "there is no encoder in the model repository",
            value=str(models),
            next_step="Export one first: nestvec export CHECKPOINT --to MODELS --name NAME.",
        )
    return {name: open_encoder(find_encoder(models, name)) for name in chosen}


def open_encoder(folder: Path) -> LoadedEncoder:
    """Open one encoder by its folder. Raises EncoderNotFound, ManifestCorrupt, ManifestTooNew."""
    manifest = read_manifest(folder)
    text = manifest.towers.get("text")
    if text is None:
        return LoadedEncoder(manifest, None)
    if text.rendering is not None:
        font = folder / FONT
        return LoadedEncoder(manifest, None, font if font.is_file() else None)
    if text.scheme != "tokenizer":
        return LoadedEncoder(manifest, ByteTokenizer(UNIT_SCHEMES[text.scheme], text.max_tokens))
    return LoadedEncoder(manifest, EncoderTokenizer(folder / TOKENIZER, text.max_tokens))


def resolve_encoder(encoders: Mapping[str, LoadedEncoder], name: str | None) -> str:
    """The encoder a request means: the one it names, or the only one. Raises EncoderNotFound."""
    if name is None and len(encoders) == 1:
        return next(iter(encoders))
    available = ", ".join(sorted(encoders))
    if name is None:
        raise EncoderNotFound(
            f"the service holds {len(encoders)} encoders and the request names none",
            next_step=f"Add ?encoder=NAME to the address. There: {available}.",
        )
    if name not in encoders:
        raise EncoderNotFound(
            "the service has no encoder of this name",
            value=name,
            next_step=f"There: {available}.{nearest(name, encoders)}",
        )
    return name
