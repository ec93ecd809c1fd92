from __future__ import annotations

from pathlib import Path

import pytest

from nestvec.service.in_process import serve_in_process
from nestvec.service.server import bind, listening_url
from nestvec_schemas.errors import EncoderNotFound, ServiceError, ServiceUnreachable


@pytest.fixture
def gone() -> str:
    with bind("127.0.0.1", 0) as listener:
        return listening_url(listener)


def test_a_service_that_answers_is_used_as_it_is(
    service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve_in_process([service, service], tmp_path / "nothing here"):
        pass
    assert capsys.readouterr().err == ""


def test_without_an_encoder_the_error_says_so(gone: str, tmp_path: Path) -> None:
    with (
        pytest.raises(EncoderNotFound, match=r"no encoder in the model repository.*nestvec export"),
        serve_in_process([gone], tmp_path),
    ):
        pass


def test_a_service_elsewhere_is_not_replaced(tmp_path: Path) -> None:
    with (
        pytest.raises(ServiceUnreachable, match=r"no service answers at http://nestvec\.invalid:9"),
        serve_in_process(["http://nestvec.invalid:9"], tmp_path),
    ):
        pass


def test_tls_cannot_be_brought_up(gone: str, tmp_path: Path) -> None:
    with (
        pytest.raises(ServiceError, match=r"TLS cannot be started"),
        serve_in_process([gone.replace("http:", "https:")], tmp_path),
    ):
        pass
