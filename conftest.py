"""What holds for the tests of every folder."""

from __future__ import annotations

from hypothesis import settings

# A test says what comes out, not how soon: a busy machine is no failure.
settings.register_profile("nestvec", deadline=None)
settings.load_profile("nestvec")
