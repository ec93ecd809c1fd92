"""What holds for the tests of every folder."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import settings

# Before torch is imported. Beside other work, threads that wait for one another make the tests many times as
# slow; their models are so small that a single thread is as fast.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# What engines compile for the tests is not kept; matplotlib's list of fonts stays where it is.
_cache = tempfile.TemporaryDirectory(prefix="nestvec-test-cache-")
_user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
os.environ.setdefault("MPLCONFIGDIR", str(_user_cache / "matplotlib"))
os.environ["XDG_CACHE_HOME"] = _cache.name

# A test says what comes out, not how soon: a busy machine is no failure.
settings.register_profile("nestvec", deadline=None)
settings.load_profile("nestvec")
