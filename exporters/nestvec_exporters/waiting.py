"""How torch's threads wait for one another: asleep, not spinning."""

from __future__ import annotations

import os
from typing import Final

PASSIVE: Final = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""For GNU's OpenMP, and for Intel's."""


def wait_passively() -> None:
    """Have OpenMP's threads sleep while they wait, unless the environment says otherwise.

    Takes effect if torch has not been imported yet. Spinning threads hold up whatever else runs, and one
    another: at a load of 12 on two cores, the same training steps took five times as long.
    """
    for name, value in PASSIVE.items():
        os.environ.setdefault(name, value)
