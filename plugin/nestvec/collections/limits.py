"""How many fields a collection may have, as its server's version says."""

from __future__ import annotations

from nestvec.milvus.server_version import ServerVersion, collection_limits
from nestvec_schemas.errors import SpecError
from nestvec_schemas.spec.collection_spec import CollectionSpec
from nestvec_schemas.spec.vector_validation import limit_problems


def check_limits(spec: CollectionSpec, version: ServerVersion) -> None:
    """Raise SpecError for more fields, or vector fields, than a server of this version takes.

    A server of an unknown version is not second-guessed, and Milvus Lite has no limits.
    """
    limits = collection_limits(version)
    problems = limit_problems(spec, vector_fields=limits.vector_fields, fields=limits.fields)
    for problem in problems:
        raise SpecError(
            f"{problem.where} {problem.cause} ({version.text})",
            value=problem.value,
            next_step=problem.next_step,
        )
