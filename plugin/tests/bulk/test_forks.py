"""Processes that are forked beside gRPC."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from nestvec.bulk.forks import allow_forks
assert not {"grpc", "pymilvus"} & set(sys.modules)
allow_forks()
import os, subprocess, tempfile
from nestvec.milvus.connection import open_milvus
with tempfile.TemporaryDirectory() as folder, open_milvus(f"{folder}/a.db") as client:
    for _ in range(100):
        client.list_collections()
        # Not vfork, as Ray.
        subprocess.run(["true"], preexec_fn=os.getpid, check=True)
"""


def test_a_client_of_milvus_forks() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fork() handlers" not in done.stderr
