"""The real C++ Milvus 2.3.5, from its wheel on PyPI, in its own process; its memory and files."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pymilvus import MilvusClient

# Runs in the wheel's environment; prints port and pid once the server answers.
LAUNCH = """
import sys
from milvus import MilvusServer, MilvusServerConfig
config = MilvusServerConfig(data_dir=sys.argv[1])
# FLAT must scan exactly.
text = config.template_text.replace("enableIndex: true", "enableIndex: false")
if sys.argv[2] == "mapped":
    mapped = f"\\nqueryNode:\\n  mmapDirPath: {sys.argv[1]}/mmap\\n"
    text = text.replace("\\nqueryNode:\\n", mapped)
config.template_text = text
server = MilvusServer(config)
server.start()
print(server.listen_port, server.server_proc.pid, flush=True)
sys.stdin.read()
server.stop()
"""


def setup(venv: Path) -> None:
    """A separate environment for the server's wheel, which pins packages that nestvec does not."""
    if not (venv / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip: list[str | Path] = [venv / "bin" / "python", "-m", "pip", "install", "-q", "milvus==2.3.5"]
    subprocess.run(pip, check=True)


@contextmanager
def server(venv: Path, work: Path, *, mapped: bool = False) -> Iterator[tuple[MilvusClient, int]]:
    """Milvus in its own process: a client and the process id.

    ``mapped``: it loads everything as memory-mapped files; 2.3.5 has this setting only for a whole server.
    """
    program = venv / "bin" / "python"
    data = work / "milvus"
    command: list[str | Path] = [program, "-c", LAUNCH, data, "mapped" if mapped else "kept"]
    log = (work / "launch.log").open("a")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            line = process.stdout.readline().split()
            if len(line) != 2:
                raise SystemExit(f"Milvus did not start: see {log.name} and {data / 'logs'}")
            client = MilvusClient(f"http://127.0.0.1:{int(line[0])}")
            print(f"Milvus {client.get_server_version()} runs as process {int(line[1])}", flush=True)
            yield client, int(line[1])
            client.close()
        finally:
            process.stdin.close()


def resident(process: int) -> float:
    """Anonymous resident memory in MB, once it is stable."""
    samples = [0.0, 1e9]
    while max(samples[-4:]) - min(samples[-4:]) > 4 or len(samples) < 8:
        time.sleep(1)
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        samples.append(next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")))
        if len(samples) > 30:
            break
    return statistics.median(samples[-4:])


def files(work: Path) -> int:
    """Bytes of the index files that the server keeps."""
    folders = (work / "milvus").rglob("index_files")
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
