"""The keys that identify the embeddings of a request's inputs."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from nestvec.service.batching.cache import CacheKey
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import DIGEST_BYTES, EmbedInput, input_digest
from nestvec.service.preprocess.truncation import Truncation
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.late_interaction import Role

_CACHED: Final = 64
_CACHED_KINDS: Final = 1024


class InputKeys:
    """Makes the keys of inputs. What those of equal requests have in common is found out once."""

    def __init__(
        self, loaded: LoadedEncoder, config: EmbeddingConfig, truncation: Truncation, role: Role | None
    ) -> None:
        """Raises ExitNotOffered."""
        self._loaded, self._expert, self._truncation, self._role = loaded, config.expert, truncation, role
        manifest = loaded.manifest
        layer = manifest.resolve_exit(config.exit)
        # The deepest exit is the same work, whether a request names it or none.
        self._exit = loaded.graph_exit(role) or (0 if layer == manifest.depth else layer)
        self._by_prompt = role is None and loaded.has_query_head
        """Whether each text's own prompt says which head of a bridge it has."""
        self._prefix = f"{role} " if role is not None and loaded.distinguishes_roles else ""
        self._same_part = len(manifest.towers) == 1 and manifest.query_expert is None
        self._part: str | None = None
        self._sides: dict[str, str] = {}
        self._kinds: dict[tuple[str, str], str] = {}
        """The ``kind`` of keys, which thousands of keys of waiting requests share."""

    def key(self, value: EmbedInput) -> CacheKey:
        """The key of an input. Raises EmptyInput, ExpertNotOffered."""
        if type(value) is str and value:
            kind = "text"
            digest = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()
        else:
            kind, digest = input_digest(value)
        part = self._part
        if part is None:
            part = self._loaded.part_of(value, self._expert, self._role)
            if self._same_part:
                self._part = part
        side = self._sides.get(part)
        if side is None:
            side = self._sides[part] = self._truncation.side(self._loaded.tower_of_part(part))
        of_key = self._kinds.get((kind, side))
        if of_key is None:
            if len(self._kinds) >= _CACHED_KINDS:
                self._kinds.clear()
            of_key = self._kinds[kind, side] = f"{self._prefix}{kind} {side}"
        exit = self._exit
        if self._by_prompt:
            exit = self._loaded.graph_exit(self._loaded.role_of(value)) or exit
        return CacheKey(part, exit, of_key, digest)


class CachedInputKeys:
    """The keys of requests, kept for the next one, which mostly selects the same."""

    def __init__(self) -> None:
        self._cached: dict[object, InputKeys] = {}

    def of(
        self, loaded: LoadedEncoder, config: EmbeddingConfig, truncation: Truncation, role: Role | None
    ) -> InputKeys:
        """The keys of a request's inputs. Raises ExitNotOffered."""
        selection = id(loaded), config.exit, config.expert, truncation.direction, role
        keys = self._cached.get(selection)
        if keys is None:
            keys = InputKeys(loaded, config, truncation, role)
            if len(self._cached) >= _CACHED:
                self._cached.clear()
            self._cached[selection] = keys
        return keys
