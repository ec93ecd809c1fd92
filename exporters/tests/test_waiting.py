from __future__ import annotations

import os
import subprocess
import sys

import pytest

SHOW = "import nestvec_exporters, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"


def shown(variables: dict[str, str]) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | variables
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_threads_sleep_while_they_wait_and_torch_is_imported_later() -> None:
    assert shown({}) == "PASSIVE False"


@pytest.mark.parametrize("policy", ["ACTIVE", "PASSIVE"])
def test_the_environment_decides(policy: str) -> None:
    assert shown({"OMP_WAIT_POLICY": policy}) == f"{policy} False"
