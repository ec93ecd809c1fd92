"""Images from the web, with httpx's transport alone: no cookies, no proxies, no automatic redirects."""

from __future__ import annotations

import asyncio
import io
from functools import lru_cache
from importlib.metadata import version
from types import TracebackType
from typing import Any

import httpx

from nestvec.images.address import ImageAddress, parse_address, redacted_url
from nestvec.images.fetch_errors import malformed, refused, too_large, unreachable
from nestvec.images.hosts import IP, Unresolved, is_allowed, resolve
from nestvec.images.policy import ImagePolicy

_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = {
    "User-Agent": f"nestvec/{version('nestvec')}",
    "Accept": "image/*",
    "Accept-Encoding": "identity",  # a compressed body could unpack to any size
}


@lru_cache(maxsize=1)
def tls_context() -> Any:
    """The TLS context that checks certificates: with certifi's authorities, or those of SSL_CERT_FILE."""
    return httpx.create_ssl_context()


class WebFetcher:
    """Fetches for one batch: each host is resolved once, and its connections stay open until the end.

    A name is resolved here, its addresses are checked, and the connection is made to one of them, so that no
    second look-up can lead elsewhere; the certificate and the Host header are those of the name.
    """

    def __init__(self, policy: ImagePolicy) -> None:
        self._policy = policy
        self._hosts: dict[tuple[str, int], tuple[IP, ...] | Exception] = {}
        self._resolving: dict[tuple[str, int], asyncio.Lock] = {}
        self._transports: dict[tuple[str, str, int, IP], httpx.AsyncHTTPTransport] = {}

    async def __aenter__(self) -> WebFetcher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for transport in self._transports.values():
            await transport.aclose()

    async def fetch(self, address: ImageAddress) -> bytes:
        """The bytes at an ``http:`` or ``https:`` address. Raises ImageRefused or ImageUnreachable."""
        text, shown = address.text, address.shown
        for _ in range(self._policy.limits.max_redirects + 1):
            url = self._checked_url(text, shown)
            response = await self._request(url, shown)
            try:
                location = response.headers.get("location")
                if response.status_code in _REDIRECTS and location is not None:
                    text = _redirect_target(url, location, shown)
                    target = parse_address(text)
                    shown = f"{address.shown} → {target.shown if target else redacted_url(text)}"
                    continue
                return await self._read_body(response, shown)
            finally:
                await response.aclose()
        raise unreachable(f"more than {self._policy.limits.max_redirects} redirects", address.shown)

    def _checked_url(self, text: str, shown: str) -> httpx.URL:
        try:
            url = httpx.URL(text)
            host = url.raw_host.decode("ascii")
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise malformed("is not a URL", shown, "Correct it.") from error
        if url.scheme not in ("http", "https") or url.scheme not in self._policy.schemes:
            raise refused(f"by {url.scheme or 'such an address'}", shown, f"{url.scheme}:")
        if url.userinfo:
            raise malformed("contains a user name or password", shown, "Remove it.")
        if not host or not self._policy.allows_host(host):
            raise refused("from this host", shown, "the host (--image-host)")
        return url

    async def _request(self, url: httpx.URL, shown: str) -> httpx.Response:
        host, port = url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)
        problem: Exception | None = None
        for ip in await self._addresses(host, port, shown):
            try:
                return await self._request_from(ip, port, url)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                problem = error
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
                raise unreachable(_reason(error), shown) from error
        raise unreachable(_reason(problem), shown) from problem

    async def _addresses(self, host: str, port: int, shown: str) -> tuple[IP, ...]:
        key = (host, port)
        async with self._resolving.setdefault(key, asyncio.Lock()):
            if key not in self._hosts:
                try:
                    self._hosts[key] = await resolve(host, port)
                except Unresolved as error:
                    self._hosts[key] = error
        resolved = self._hosts[key]
        if isinstance(resolved, Exception):
            raise unreachable("its host has no address", shown) from resolved
        if not all(is_allowed(ip, private=self._policy.allow_private) for ip in resolved):
            # The address is not disclosed: a stranger must not learn the names of an inner network.
            raise refused(
                "from a host whose address is not public", shown, "private addresses (--image-private)"
            )
        return resolved

    async def _request_from(self, ip: IP, port: int, url: httpx.URL) -> httpx.Response:
        host = url.raw_host.decode("ascii")
        # By host name too: a connection is only good for the name that its certificate was checked for.
        key = (url.scheme, host, port, ip)
        if key not in self._transports:
            limits = httpx.Limits(
                max_connections=None, max_keepalive_connections=self._policy.limits.max_concurrent
            )
            self._transports[key] = httpx.AsyncHTTPTransport(
                verify=tls_context(), trust_env=False, limits=limits
            )
        seconds = self._policy.limits.max_seconds
        request = httpx.Request(
            "GET",
            url.copy_with(host=str(ip), fragment=None),
            headers={"Host": url.netloc.decode("ascii"), **_HEADERS},
            extensions={"timeout": httpx.Timeout(seconds).as_dict(), "sni_hostname": host},
        )
        return await self._transports[key].handle_async_request(request)

    async def _read_body(self, response: httpx.Response, shown: str) -> bytes:
        limit = self._policy.limits.max_bytes
        if response.status_code != 200:
            raise unreachable(f"its host answered with status {response.status_code}", shown)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise unreachable("its host sent it compressed, which was not requested", shown)
        declared_length = response.headers.get("content-length", "")
        if declared_length.isdecimal() and int(declared_length[:20]) > limit:
            raise too_large(limit, shown)
        data = io.BytesIO()  # gives its bytes away without a copy
        try:
            async for part in response.aiter_raw():
                data.write(part)
                if data.tell() > limit:
                    raise too_large(limit, shown)
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise unreachable(_reason(error), shown) from error
        return data.getvalue()


def _redirect_target(url: httpx.URL, location: str, shown: str) -> str:
    try:
        return str(url.join(location))
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise unreachable("its host redirects to something that is not a URL", shown) from error


def _reason(error: Exception | None) -> str:
    """A transport's error in a clause, without its own text, which may quote what the server sent."""
    if isinstance(error, httpx.TimeoutException):
        return "its host does not answer in time"
    if isinstance(error, httpx.ConnectError):
        return (
            "its certificate is not valid" if "CERTIFICATE_VERIFY_FAILED" in str(error) else "no connection"
        )
    return "its host closed the connection early, or does not speak HTTP"
