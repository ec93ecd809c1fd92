from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nestvec.cli import cli
from nestvec.engines.fake import FakeEngine
from nestvec.service.catalog.reload import Reloader
from nestvec.service.catalog.repository import ServedRepository
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.server import bind, serve_in_thread
from nestvec.service.settings import AccessSettings, ServiceSettings
from nestvec_schemas.errors import ServiceError, ServiceRefused, ServiceUnreachable
from nestvec_schemas.repository import MANIFEST

Write = Callable[..., Path]


@pytest.fixture
def address(models_folder: Path, tmp_path: Path) -> Iterator[str]:
    keys = tmp_path / "admin.txt"
    keys.write_text("operator-key\n")
    keys.chmod(0o600)
    settings = ServiceSettings(access=AccessSettings(admin_keys=keys))
    engine = FakeEngine({"tiny": 16})
    embedder = Embedder(open_encoders(models_folder), engine, settings)
    repository = ServedRepository(models_folder)
    embedder.reloader = Reloader(embedder, repository, engine)  # type: ignore[arg-type]
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        yield service


def reload(service: str, *options: str, key: str = "operator-key") -> Result:
    return CliRunner().invoke(cli, ["reload", "--service", service, *options], env={"NESTVEC_ADMIN_KEY": key})


def test_what_changed_is_printed(address: str, write_encoder: Write, models_folder: Path) -> None:
    assert reload(address).output == "Every encoder is as it was.\n"
    write_encoder("second")
    done = reload(address)
    assert (done.exit_code, done.output) == (0, "second: added\n")
    (models_folder / "second" / MANIFEST).write_text("{")
    done = reload(address)
    assert done.exit_code == 1
    assert done.stderr.startswith("second: ")
    assert json.loads(reload(address, "--json").stdout)["failed"][0]["name"] == "second"


def test_what_keeps_a_reload_from_the_service(address: str, service: str) -> None:
    assert isinstance(reload(address, key="").exception, ServiceError)
    for error, result in (
        ("does not accept the admin key", reload(address, key="wrong")),
        ("has no admin keys. Start it with --admin-keys", reload(service)),
    ):
        assert isinstance(result.exception, ServiceRefused)
        assert error in str(result.exception)
    assert isinstance(reload("http://127.0.0.1:9").exception, ServiceUnreachable)
