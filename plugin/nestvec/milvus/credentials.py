"""The name under which Milvus has the service's API key."""

from __future__ import annotations

import logging

from nestvec.client.service_key import ServiceKey
from nestvec.milvus.server_version import THREE, ServerVersion
from nestvec_schemas.errors import SpecError

logger = logging.getLogger(__name__)


def check_credential(key: ServiceKey | None) -> None:
    """Raise SpecError for a key whose entry in milvus.yaml is not named: a Function cannot have the key
    itself."""
    if key is not None and not key.credential:
        raise SpecError(
            "Milvus reads the service's API key from its own configuration, and the entry's name is missing",
            next_step="Put the key under credential in milvus.yaml and name it: "
            "options=EmbeddingOptions(key=ServiceKey(api_key, credential=NAME)), or NESTVEC_CREDENTIAL.",
        )


def credential_params(key: ServiceKey | None, version: ServerVersion) -> dict[str, str | int]:
    """The ``credential`` of a Function, as a server of this version finds it; nothing without a key.

    Milvus 2.6 reads the keys of milvus.yaml in lower case, and so never finds a name with capitals; from 3.0
    on it keeps them. Raises SpecError if the key has no name.
    """
    if key is None:
        return {}
    check_credential(key)
    name, lower = key.credential, key.credential.lower()
    if name == lower or version.at_least(THREE):
        return {"credential": name}
    if version.before(THREE):
        return {"credential": lower}
    logger.warning(
        "Milvus before 3.0 reads the names under credential in milvus.yaml in lower case, and finds no %s: "
        "write it in lower case in both places",
        name,
    )
    return {"credential": name}
