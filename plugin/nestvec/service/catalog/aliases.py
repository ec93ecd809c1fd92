"""Other names for encoders, such as those of models that a client insists on."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from nestvec.service.encoders import bridge_by_alias
from nestvec_schemas.errors import AliasInvalid, nearest

_ALIAS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,127}")

MAX_ALIASES: Final = 1000


def check_aliases(aliases: Mapping[str, str], encoders: Collection[str]) -> None:
    """Raise AliasInvalid unless each alias is another name for one of ``encoders``."""
    if len(aliases) > MAX_ALIASES:
        raise AliasInvalid(
            f"there are more than {MAX_ALIASES} aliases", value=len(aliases), next_step="Remove some."
        )
    for alias, target in aliases.items():
        _check_alias(alias, target, aliases, encoders)


def _check_alias(alias: str, target: str, aliases: Mapping[str, str], encoders: Collection[str]) -> None:
    if not _ALIAS.fullmatch(alias):
        raise AliasInvalid(
            "an alias cannot have this name",
            value=alias,
            next_step="Use at most 128 letters, digits, '.', '_', '-', '/' and ':', starting with a letter "
            "or digit.",
        )
    if alias in encoders:
        raise AliasInvalid(
            "an encoder of the service already has the alias's name",
            value=alias,
            next_step="Choose another alias, or export the encoder with a tag: --name NAME:TAG.",
        )
    bridge = bridge_by_alias(alias, aliases, encoders)
    if bridge is not None:
        raise AliasInvalid(
            f"the alias {alias} already names a bridge, by another alias",
            value=bridge,
            next_step="Choose another alias.",
        )
    if target in aliases:
        loop = "itself" if target == alias else f"the alias {target}"
        raise AliasInvalid(
            f"the alias {alias} stands for {loop}, not for an encoder",
            value=f"{alias}={target}",
            next_step=f"Name an encoder. Available: {', '.join(sorted(encoders))}.",
        )
    if target not in encoders:
        raise AliasInvalid(
            f"the service has no encoder for the alias {alias}",
            value=target,
            next_step=f"Available: {', '.join(sorted(encoders))}.{nearest(target, encoders)}",
        )
