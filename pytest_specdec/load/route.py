"""Route to a target: address, proxy, TLS and the head of every request."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from pytest_specdec.errors import InvalidInputError
from pytest_specdec.load.target import Target
from pytest_specdec.redaction import without_credentials

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The way to one URL."""

    host: str
    """Host to connect to: the proxy where there is one."""
    port: int
    head: bytes = field(repr=False)
    """First lines of a POST, up to and without the length of its body."""
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    """Name on the expected certificate."""
    tunnel: bytes = field(default=b"", repr=False)
    """Request to a proxy before TLS begins; empty without a proxy."""

    @classmethod
    def to(cls, target: Target) -> Route:
        """The way to a target's chat completions; proxies come from the environment, as for other tools.

        Raises:
            InvalidInputError: the URL is not one of http or https.
        """
        url = _split(target.chat_url, tuple(_PORTS))
        if url is None:
            raise InvalidInputError(f"{target.shown} is not an http:// or https:// URL")
        host, port, authority = _place(url)
        headers = _credentials(url, "Authorization") | dict(target.headers)
        tls = ssl.create_default_context() if url.scheme == "https" else None
        # Exceptions name a host, or a host and its port.
        bypassed = proxy_bypass(host) or proxy_bypass(authority)
        found = None if bypassed else getproxies().get(url.scheme)
        if not found:
            return cls(host=host, port=port, head=_head(url, url.path, headers), tls=tls, server_name=host)
        proxy = _split(found if "//" in found else f"http://{found}", ("http",))
        if proxy is None:
            raise InvalidInputError(
                f"the proxy {without_credentials(found)} of {url.scheme} URLs is not an http:// one"
            )
        through = _credentials(proxy, "Proxy-Authorization")
        near, near_port, _ = _place(proxy)
        if tls is None:
            whole = f"http://{_host_header(url)}{url.path}"
            return cls(host=near, port=near_port, head=_head(url, whole, headers | through))
        return cls(
            host=near,
            port=near_port,
            head=_head(url, url.path, headers),
            tls=tls,
            server_name=host,
            tunnel=_lines(f"CONNECT {authority} HTTP/1.1", {"Host": authority} | through) + b"\r\n",
        )

    def request(self, body: bytes) -> bytes:
        """A whole request."""
        return b"%s%d\r\n\r\n%s" % (self.head, len(body), body)


def _head(url: SplitResult, path: str, headers: dict[str, str]) -> bytes:
    named = {"Host": _host_header(url)} | headers | {"Accept": "text/event-stream"}
    return _lines(f"POST {path} HTTP/1.1", named) + b"Content-Length: "


def _lines(first: str, headers: dict[str, str]) -> bytes:
    """Lines of a head; an error must not show the value of a header, which may be a secret."""
    for name, line in (("URL", first), *((f"header {name}", f"{name}: {value}") for name, value in headers.items())):
        if not line.isascii() or not line.isprintable():
            raise InvalidInputError(f"the {name} has a character that HTTP cannot carry (a line break, or no ASCII)")
    return "\r\n".join([first, *(f"{name}: {value}" for name, value in headers.items()), ""]).encode()


def _split(text: str, schemes: tuple[str, ...]) -> SplitResult | None:
    """The parts of a URL that names a host to connect to; None where it does not."""
    try:
        url = urlsplit(text)
        named = url.scheme in schemes and url.hostname and url.port != 0  # it may be no number
    except ValueError:
        return None
    return url if named else None


def _place(url: SplitResult) -> tuple[str, int, str]:
    """Host, port, and both as one."""
    assert url.hostname is not None, "unreachable because such a URL is no address"
    port = url.port or _PORTS[url.scheme]
    host = url.hostname
    return host, port, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host_header(url: SplitResult) -> str:
    return url.netloc.rpartition("@")[2]


def _credentials(url: SplitResult, header: str) -> dict[str, str]:
    if url.username is None:
        return {}
    pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return {header: f"Basic {base64.b64encode(pair.encode()).decode()}"}
