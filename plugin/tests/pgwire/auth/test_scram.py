from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec.pgwire.auth import scram
from nestvec.pgwire.auth.accounts import KeyAccounts, PasswordAccount
from nestvec.pgwire.auth.scram import ScramExchange, ScramSecrets, make_verifier
from nestvec.pgwire.errors import PgError
from nestvec_schemas.errors import ServiceError


def _client_final(password: str, bare: bytes, first: bytes) -> bytes:
    """The client's last message, from RFC 5802."""
    fields = dict(part.split(b"=", 1) for part in first.split(b","))
    salted = hashlib.pbkdf2_hmac(
        "sha256", password.encode(), base64.b64decode(fields[b"s"]), int(fields[b"i"])
    )
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    without_proof = b"c=biws,r=" + fields[b"r"]
    signed = b",".join((bare, first, without_proof))
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    proof = bytes(left ^ right for left, right in zip(client_key, signature, strict=True))
    return without_proof + b",p=" + base64.b64encode(proof)


def _log_in(secrets: ScramSecrets, password: str) -> bytes | None:
    exchange = ScramExchange(secrets)
    first = exchange.first(b"n,,n=,r=clientnonce")
    return exchange.final(_client_final(password, b"n=,r=clientnonce", first))


def test_the_example_of_rfc_7677(monkeypatch: pytest.MonkeyPatch) -> None:
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    secrets = ScramSecrets(salt, (make_verifier("pencil", salt),))
    exchange = ScramExchange(secrets, nonce="%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    first = exchange.first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    assert first == (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    proof = exchange.final(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert proof == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_each_of_several_keys_logs_in(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text("# keys\nfirst\nsecond\n")
    secrets = KeyAccounts(path).secrets("anyone")
    assert _log_in(secrets, "first")
    assert _log_in(secrets, "second")
    assert _log_in(secrets, "third") is None


def test_keys_are_read_again_and_stay_in_force_if_the_file_is_broken(tmp_path: Path) -> None:
    path, now = tmp_path / "keys.txt", [0.0]
    path.write_text("first\n")
    accounts = KeyAccounts(path, clock=lambda: now[0])
    path.write_text("second\n")
    assert _log_in(accounts.secrets("a"), "first")
    now[0] = 2.0
    assert _log_in(accounts.secrets("a"), "first") is None
    assert _log_in(accounts.secrets("a"), "second")
    path.write_text("")
    now[0] = 4.0
    assert _log_in(accounts.secrets("a"), "second")


def test_another_user_gets_a_challenge_and_no_entry(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("p4ss word\n")
    account = PasswordAccount("alice", path)
    assert _log_in(account.secrets("alice"), "p4ss word")
    stranger = account.secrets("mallory")
    assert stranger.salt == account.secrets("mallory").salt != account.secrets("alice").salt
    assert _log_in(stranger, "p4ss word") is None


@pytest.mark.parametrize("text", ["", "\n", "two\nlines\n"])
def test_a_password_file_has_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "password"
    path.write_text(text)
    with pytest.raises(ServiceError, match="one line"):
        PasswordAccount("alice", path)


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"missing\.txt"):
        KeyAccounts(tmp_path / "missing.txt")


@settings(max_examples=300)
@given(st.binary(max_size=80), st.binary(max_size=80))
def test_no_bytes_lead_to_another_error(first: bytes, final: bytes) -> None:
    salt = b"0" * 16
    exchange = ScramExchange(ScramSecrets(salt, ()))
    for step, message in ((exchange.first, first), (exchange.final, final)):
        try:
            assert step(message) is None or step == exchange.first
        except PgError as error:
            assert error.sqlstate == "08P01"


def test_channel_binding_is_not_promised() -> None:
    exchange = ScramExchange(ScramSecrets(b"0" * 16, ()))
    with pytest.raises(PgError):
        exchange.first(b"p=tls-server-end-point,,n=,r=abc")
    assert scram.MECHANISM == "SCRAM-SHA-256"
