"""The OpenAPI document against the service: generated requests, each answer as the document says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = int(os.environ.get("NESTVEC_EXAMPLES", "15"))
"""Requests of a kind; ``make nightly`` sends more."""

CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", 504]
"""
"""A request states its own deadline: one that no machine keeps is answered with 504."""


def test_every_answer_is_as_documented(service: str, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    program = Path(sys.executable).with_name("schemathesis")
    bounds = ["--max-examples", str(EXAMPLES), "--seed", "1", "--phases", "fuzzing", "--workers", "1"]
    command = [program, "run", f"{service}/openapi.json", "--checks", CHECKS, *bounds, "--no-color"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=3_000)
    assert done.returncode == 0, done.stdout[-8000:]
