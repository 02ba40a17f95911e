"""How to reach a target: address, proxy, TLS and the head that every request begins with."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from pytest_specdec.errors import InvalidInputError
from pytest_specdec.load.target import Target

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The way to one URL."""

    host: str
    """Host to connect to: the proxy where there is one."""
    port: int
    head: bytes
    """First lines of a POST, up to and without the length of its body."""
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    """Whose certificate is expected."""
    tunnel: bytes = b""
    """What to ask a proxy for before TLS begins; empty without."""

    @classmethod
    def to(cls, target: Target) -> Route:
        """The way to a target's chat completions; proxies come from the environment, as for other tools.

        Raises:
            InvalidInputError: the URL is not one of http or https.
        """
        url = urlsplit(target.chat_url)
        if url.scheme not in _PORTS or not url.hostname:
            raise InvalidInputError(f"{target.base_url} is not an http:// or https:// URL")
        headers = _credentials(url, "Authorization") | dict(target.headers)
        tls = ssl.create_default_context() if url.scheme == "https" else None
        port = url.port or _PORTS[url.scheme]
        found = None if proxy_bypass(url.hostname) else getproxies().get(url.scheme)
        if not found:
            return cls(
                host=url.hostname, port=port, head=_head(url, url.path, headers), tls=tls, server_name=url.hostname
            )
        proxy = urlsplit(found if "//" in found else f"http://{found}")
        if proxy.scheme != "http" or not proxy.hostname:
            raise InvalidInputError(f"the proxy {proxy.hostname or found} of {url.scheme} URLs is not an http:// one")
        through = _credentials(proxy, "Proxy-Authorization")
        near = {"host": proxy.hostname, "port": proxy.port or _PORTS["http"]}
        if tls is None:
            whole = f"http://{_authority(url)}{url.path}"
            return cls(**near, head=_head(url, whole, headers | through))  # type: ignore[arg-type]
        authority = f"{url.hostname}:{port}"
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", *(f"{k}: {v}" for k, v in through.items())]
        return cls(
            **near,  # type: ignore[arg-type]
            head=_head(url, url.path, headers),
            tls=tls,
            server_name=url.hostname,
            tunnel="\r\n".join([*lines, "", ""]).encode("latin-1"),
        )

    def request(self, body: bytes) -> bytes:
        """A whole request."""
        return b"%s%d\r\n\r\n%s" % (self.head, len(body), body)


def _head(url: SplitResult, path: str, headers: dict[str, str]) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {_authority(url)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "Accept: text/event-stream", "Content-Length: "]).encode("latin-1")


def _authority(url: SplitResult) -> str:
    return url.netloc.rpartition("@")[2]


def _credentials(url: SplitResult, header: str) -> dict[str, str]:
    if url.username is None:
        return {}
    pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return {header: f"Basic {base64.b64encode(pair.encode()).decode()}"}
