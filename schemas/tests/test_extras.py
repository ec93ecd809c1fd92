from __future__ import annotations

import pytest

from nestvec_schemas.errors import NestvecError
from nestvec_schemas.extras import require_packages


def test_what_is_missing_is_named_with_the_extra_that_brings_it() -> None:
    require_packages("testing", ("pytest",), "dev")
    with pytest.raises(NestvecError, match=r": no_such_one, nor_this\. Install .*\[dev\]"):
        require_packages("testing", ("pytest", "no_such_one", "nor_this"), "dev")
