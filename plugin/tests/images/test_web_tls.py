from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from nestvec.images import ImagePolicy, parse_address, web
from nestvec.images.policy import ImageLimits
from nestvec.images.web import WebFetcher
from nestvec_schemas.errors import ImageUnreachable

OPEN = ImagePolicy(allow_private=True, limits=ImageLimits(max_seconds=5))


def fetch(*texts: str) -> list[bytes]:
    """What lies at the addresses, one after the other in one batch."""

    async def run() -> list[bytes]:
        found = []
        async with WebFetcher(OPEN) as fetching, asyncio.timeout(OPEN.limits.max_seconds):
            for text in texts:
                address = parse_address(text)
                assert address is not None
                found.append(await fetching.fetch(address))
        return found

    return asyncio.run(run())


def certificate(folder: Path, *names: str) -> Path:
    """A key and a certificate of its own authority for ``names``, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_certificates_are_checked_against_the_name(
    make_site: Callable[..., Any],
    names: dict[str, list[list[str]]],
    png: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = certificate(tmp_path, "pictures.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    site = make_site(tls=context)
    site.serve("/cat.png", png)
    names["pictures.test"] = names["other.test"] = [["127.0.0.1"]]
    asked = f"https://pictures.test:{site.port}/cat.png"
    with pytest.raises(ImageUnreachable, match="certificate is not valid"):
        fetch(asked)  # nobody vouches for it
    web.tls_context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    try:
        assert fetch(asked) == [png]
        for host in ("other.test", "127.0.0.1"):  # not even where a connection to the address stands open
            with pytest.raises(ImageUnreachable, match="certificate is not valid"):
                fetch(asked, f"https://{host}:{site.port}/cat.png")
    finally:
        web.tls_context.cache_clear()
    assert {headers["host"] for _, headers in site.asked} == {f"pictures.test:{site.port}"}
