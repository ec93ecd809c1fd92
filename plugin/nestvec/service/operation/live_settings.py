"""Settings that a running service takes up."""

from __future__ import annotations

from collections.abc import Sequence

from nestvec.service.catalog.instance import EncoderInstance
from nestvec.service.embedder import Embedder
from nestvec.service.settings import ServiceSettings


def apply_settings(
    embedder: Embedder, settings: ServiceSettings, instances: Sequence[EncoderInstance] | None = None
) -> None:
    """Take other settings, except for those of the engine and of batches, which need a restart.

    Raises ServiceError for a memory budget that one of ``instances`` is larger than, by default of all, and
    then nothing has changed.
    """
    if instances is None:
        instances = embedder.encoders.instances
    embedder.residency.check_limits(settings.engine.memory, instances)
    embedder.settings = settings
    embedder.residency.apply(settings.engine.memory)
    embedder.admission.apply(settings.load)
    for instance in embedder.encoders.instances:
        for runner in instance.runners.values():
            runner.apply(settings)
