"""The fixtures that every integration test may use, by subject in ``fixtures/``."""

from __future__ import annotations

from integration_tests.fixtures.changes import no_late_writers, papers
from integration_tests.fixtures.checkpoints import (
    glove_folder,
    minilm_checkpoint,
    names,
    splade_checkpoint,
    vectrix,
    wordllama_folder,
)
from integration_tests.fixtures.repositories import (
    bridged_static,
    conse,
    exiting,
    models,
    precisions,
    ranking,
    routed,
    static,
    tiny_texts,
    words,
)
from integration_tests.fixtures.services import client, serve, service

__all__ = [
    "bridged_static",
    "client",
    "conse",
    "exiting",
    "glove_folder",
    "minilm_checkpoint",
    "models",
    "names",
    "no_late_writers",
    "papers",
    "precisions",
    "ranking",
    "routed",
    "serve",
    "service",
    "splade_checkpoint",
    "static",
    "tiny_texts",
    "vectrix",
    "wordllama_folder",
    "words",
]
