from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nestvec.milvus.connection import milvus_errors, open_connections, open_milvus
from nestvec.milvus.lite import is_lite
from nestvec_schemas.errors import StoreInUse, StoreRefused, StoreUnreachable

HOLD = """
import sys
from pymilvus import MilvusClient
MilvusClient(sys.argv[1])
print("open", flush=True)
input()
"""


def test_a_database_in_use(tmp_path: Path) -> None:
    path = str(tmp_path / "held.db")
    command = [sys.executable, "-c", HOLD, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        message = r"another process has this .* open: .*held\.db\. Close that process"
        with pytest.raises(StoreInUse, match=message), open_milvus(path):
            pass
        holder.kill()


def test_a_database_is_let_go_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = str(tmp_path / "free.db")
    with open_milvus(path) as client:
        assert is_lite(client)
        assert len(open_connections()) == 1
    assert open_connections() == []
    command = [sys.executable, "-c", HOLD, path]
    done = subprocess.run(command, input="\n", capture_output=True, text=True, check=True)
    assert done.stdout == "open\n"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreUnreachable, match=r"the folder .* does not exist.*Create the folder"),
        open_milvus(str(tmp_path / "no" / "x.db")),
    ):
        pass


def test_a_path_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("not a database")
    with (
        pytest.raises(StoreUnreachable, match=r"cannot open Milvus at .*Use a path that ends in \.db"),
        open_milvus(str(tmp_path / "x.db")),
    ):
        pass


@pytest.mark.parametrize(
    ("uri", "cause"),
    [
        ("papers.invalid", "there is no host of this name: papers.invalid"),
        ("http://127.0.0.1:1", "nothing listens at the address of Milvus: 127.0.0.1:1"),
    ],
)
def test_an_address_without_milvus(uri: str, cause: str) -> None:
    with pytest.raises(StoreUnreachable, match=cause), open_milvus(uri):
        pass


def test_what_milvus_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    with (
        open_milvus(str(tmp_path / "x.db")) as client,
        pytest.raises(StoreRefused, match=r"Milvus returned an error while dropping a row: .*nothing"),
        milvus_errors("dropping a row"),
    ):
        client.query("nothing", filter="id > 0")
