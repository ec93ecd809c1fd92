from __future__ import annotations

from pathlib import Path

import pytest

from nestvec.client.service_client import fetch_info
from nestvec.ingest.write.patience import Patience, Waiting, wait_for_service
from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec.milvus.providers import Endpoint
from nestvec.service import in_process, server
from nestvec.service.embedder import Embedder
from nestvec.service.in_process import compare_encoders, serve_in_process
from nestvec.service.server import bind, listening_url
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import ServiceRefused, ServiceUnreachable
from nestvec_schemas.fingerprint import encoder_fingerprint

DOWN = ServiceUnreachable("no service answers", next_step="Start it.")


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
        pytest.raises(
            ServiceUnreachable,
            match=r"the service at .* does not answer.*nestvec serve.*no encoder in the model repository",
        ),
        serve_in_process([gone], tmp_path),
    ):
        pass


def test_a_service_elsewhere_is_not_replaced(tmp_path: Path) -> None:
    with (
        pytest.raises(ServiceUnreachable, match=r"the service at http://nestvec\.invalid:9 does not answer"),
        serve_in_process(["http://nestvec.invalid:9"], tmp_path),
    ):
        pass


def test_tls_cannot_be_brought_up(gone: str, tmp_path: Path) -> None:
    with (
        pytest.raises(ServiceUnreachable, match=r"TLS cannot be started"),
        serve_in_process([gone.replace("http:", "https:")], tmp_path),
    ):
        pass


def test_a_port_that_is_taken_meanwhile_is_a_service_that_does_not_answer_yet(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gone: str
) -> None:
    monkeypatch.setattr(server, "open_embedder", lambda *arguments: pytest.fail("before the port is free"))
    with (
        bind("127.0.0.1", int(gone.rpartition(":")[2])),
        pytest.raises(ServiceUnreachable, match=r"does not answer.*another program listens on this port"),
        in_process._start(gone, tmp_path, None, tables=[], down=in_process._unanswered(gone, [], DOWN)),
    ):
        pass


def table(service: str, fingerprint: str | None, encoder: str = "tiny") -> Table:
    config = EmbeddingConfig(encoder=encoder, dim=16, fingerprint=fingerprint)
    return Table("papers", (), (EmbeddingColumn("t", "t_16", Endpoint("openai", service, config)),))


def fingerprint_of(service: str) -> str:
    fingerprint = fetch_info(service).encoder("tiny", service).fingerprint
    assert fingerprint
    return fingerprint


@pytest.mark.parametrize("encoder", ["tiny", ""])
def test_a_service_with_another_encoder_is_refused(service: str, tmp_path: Path, encoder: str) -> None:
    same, other = fingerprint_of(service), "0123456789abcdef"
    for recorded in (same, None):
        with serve_in_process([service], tmp_path, tables=[table(service, recorded, encoder)]):
            pass
    with (
        pytest.raises(ServiceRefused, match=f"another encoder .*papers.*fingerprint {same}.*, not {other}"),
        serve_in_process([service], tmp_path, tables=[table(service, other, encoder)]),
    ):
        pass


def test_a_service_that_does_not_answer_is_named_before_local_folders(gone: str, tmp_path: Path) -> None:
    named = [table(gone, None)]
    with pytest.raises(ServiceUnreachable) as caught, serve_in_process([gone], tmp_path, tables=named):
        pass
    assert str(caught.value).startswith(f"the service at {gone} of collection papers does not answer")


def test_a_service_elsewhere_is_named_with_its_collection(tmp_path: Path) -> None:
    elsewhere = "http://nestvec.invalid:9"
    with (
        pytest.raises(ServiceUnreachable, match="of collection papers does not answer"),
        serve_in_process([elsewhere], tmp_path, tables=[table(elsewhere, None)]),
    ):
        pass


@pytest.fixture
def local(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> str:
    """The fingerprint of the encoder in ``models_folder``, which is served by the fake engine."""
    monkeypatch.setattr(server, "open_embedder", lambda *arguments: embedder)
    return encoder_fingerprint(embedder.encoders["tiny"].manifest)


@pytest.mark.parametrize("recorded", [True, False])
def test_the_very_same_encoder_is_started_here_and_said_so(
    gone: str, models_folder: Path, local: str, capsys: pytest.CaptureFixture[str], recorded: bool
) -> None:
    with serve_in_process([gone], models_folder, tables=[table(gone, local if recorded else None)]):
        assert fingerprint_of(gone) == local
    message = capsys.readouterr().err
    assert f"No service at {gone} (of collection papers): starting one for this command" in message
    assert ("the same encoder" if recorded else "is not recorded") in message


def test_another_encoder_of_the_same_name_is_not_even_opened(
    gone: str, models_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = list[Path]()
    monkeypatch.setattr(server, "open_embedder", lambda models, *arguments: opened.append(models))
    named = [table(gone, "0" * 16)]
    waits = list[Waiting]()

    def serve() -> None:
        with serve_in_process([gone], models_folder, tables=named):
            pass

    # The repository has the same encoder at the next attempt too.
    with pytest.raises(ServiceUnreachable) as caught:
        wait_for_service(Patience(3600, waiting=waits.append), serve)
    assert not opened
    assert not waits
    assert str(caught.value).startswith(f"the service at {gone} of collection papers does not answer")
    assert "has another encoder 'tiny' than the one that collection papers was created with" in str(
        caught.value
    )


def test_encoders_are_compared_where_nothing_is_started(service: str, gone: str) -> None:
    compare_encoders([service, gone], [table(service, fingerprint_of(service)), table(gone, None)])
    with pytest.raises(ServiceRefused, match="has another encoder 'tiny'"):
        compare_encoders([service], [table(service, "0" * 16)])
    with pytest.raises(ServiceUnreachable, match="of collection papers does not answer"):
        compare_encoders([gone], [table(gone, "0" * 16)])
