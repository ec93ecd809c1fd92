"""How exports are verified in tests that compare vectors themselves: in full by ``make nightly``."""

from __future__ import annotations

import os
from typing import Final

from nestvec_schemas.manifest import VerifyLevel

VERIFY: Final[VerifyLevel] = "full" if os.environ.get("NESTVEC_VERIFY") == "full" else "quick"
"""Few texts; with NESTVEC_VERIFY=full all, in batches, of every length, and of odd characters."""
