"""One bad image among many rows: a real (tiny, random) CLIP, real files, Milvus Lite, and SQL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_image_models
from click.testing import CliRunner
from integration_tests.fixtures.services import Serve
from PIL import Image
from pymilvus import DataType, MilvusClient

import nestvec
from nestvec.cli import cli
from nestvec.images import ImagePolicy
from nestvec.ingest import IngestOptions, ingest
from nestvec.milvus.catalog import read_table
from nestvec.milvus.connection import open_milvus
from nestvec.service.settings import ServiceSettings
from nestvec.sql import Session, SessionSettings, execute
from nestvec_exporters import ExportOptions, export
from nestvec_schemas.errors import SqlTypeMismatch, StoreRefused

GOOD = 40


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 good images; a bomb, of far more pixels than bytes; a text file with an image's name."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(GOOD):
        Image.new("RGB", (24, 16), (6 * number, 90, 250 - 6 * number)).save(folder / f"{number}.png")
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    (folder / "text.png").write_text("this is no picture")
    return folder


@pytest.fixture(scope="module")
def service(pictures: Path, serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("clip")
    checkpoint = tiny_image_models.write(tiny_image_models.DUAL["clip"], place / "clip")
    export(ExportOptions(str(checkpoint), place / "models", "clip", verify="quick"))
    settings = ServiceSettings(images=ImagePolicy(frozenset({"file"}), roots=(pictures,)))
    return serve(place / "models", settings)


@pytest.fixture
def uri(service: str, tmp_path: Path) -> str:
    with open_milvus(str(tmp_path / "pictures.db")) as client:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("image", DataType.VARCHAR, max_length=8192)
        nestvec.add_embedding(schema, "image", encoder="clip", dims=[32], service=service, client=client)
        client.create_collection("shop", schema=schema, index_params=nestvec.index_params(schema))
    return str(tmp_path / "pictures.db")


@pytest.fixture
def file(pictures: Path, tmp_path: Path) -> Path:
    """A row for each image, the bad ones among the good."""
    names = [f"{number}.png" for number in range(GOOD)]
    names[5:5], names[20:20], names[30:30] = ["missing.png"], ["bomb.png"], ["text.png"]
    path = tmp_path / "shop.jsonl"
    rows = ({"id": at, "image": (pictures / name).as_uri()} for at, name in enumerate(names))
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def ids(client: MilvusClient) -> list[int]:
    client.load_collection("shop")
    return sorted(row["id"] for row in client.query("shop", filter="id >= 0", output_fields=["id"]))


def test_the_good_rows_are_in_and_the_bad_ones_say_why(uri: str, file: Path) -> None:
    command = ["ingest", str(file), "--collection", "shop", "--uri", uri, "--json"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["inserted"], told["rejected"]) == (GOOD, 3)
    with open_milvus(uri) as client:
        assert ids(client) == [at for at in range(GOOD + 3) if at not in (5, 20, 30)]
    lines = [json.loads(line) for line in Path(told["rejects"]).read_text().splitlines()]
    assert [line["row"]["id"] for line in lines] == [5, 20, 30]
    for line, why in zip(lines, ("cannot be fetched", "pixels", "an unknown format"), strict=True):
        assert why in line["reason"], line["reason"]
        assert line["row"]["image"] in line["reason"]


def test_left_to_the_service_the_rows_that_it_refuses_are_found(uri: str, file: Path) -> None:
    with open_milvus(uri) as client:
        table = read_table(client, "shop")
        # The service has no --on-error zero: it refuses a request for the first image that it cannot read.
        report = ingest(client, table, file, IngestOptions("memory", on_error="zero"))
        assert (report.inserted, report.rejected) == (40, 3)
        assert len(ids(client)) == 40
        assert all("image" in reason for reason in report.reasons), report.reasons


def test_an_insert_names_the_key_of_the_row(uri: str, pictures: Path) -> None:
    left = Session(SessionSettings(on_error="zero"))
    good, bad = (pictures / "1.png").as_uri(), (pictures / "missing.png").as_uri()
    with open_milvus(uri) as client:
        insert = "INSERT INTO shop (id, image) VALUES (7, :good), (8, :bad), (9, :good)"
        with pytest.raises(SqlTypeMismatch, match=r"row with id 8: column image: .*missing\.png"):
            execute(client, insert, {"good": good, "bad": bad})
        assert ids(client) == []
        execute(client, "INSERT INTO shop VALUES (7, :good)", {"good": good})
        with pytest.raises(SqlTypeMismatch, match=r"row with id 7: column image: "):
            execute(client, "UPDATE shop SET image = :bad WHERE id = 7", {"bad": bad})
        assert execute(client, "SELECT image FROM shop").rows == ((good,),)
        with pytest.raises(StoreRefused, match=r"input 2 of 3"):
            execute(client, insert.replace("(7", "(6"), {"good": good, "bad": bad}, session=left)
