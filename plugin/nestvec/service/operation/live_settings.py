"""Settings that a running service takes up."""

from __future__ import annotations

from nestvec.service.embedder import Embedder
from nestvec.service.settings import ServiceSettings


def apply_settings(embedder: Embedder, settings: ServiceSettings) -> None:
    """Take other settings, except for those of the engine and of batches, which need a restart.

    Raises ServiceError for a memory budget that an encoder is larger than, and then nothing has changed.
    """
    embedder.residency.check_limits(settings.engine.memory, embedder.encoders.instances)
    embedder.settings = settings
    embedder.residency.apply(settings.engine.memory)
    embedder.admission.apply(settings.load)
    for instance in embedder.encoders.instances:
        for runner in instance.runners.values():
            runner.apply(settings)
