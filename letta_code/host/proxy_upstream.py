"""Upstream: a person's own proxy (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY but for NO_PROXY), which ours then goes through.

Where it is set the network often has no other way out, and no names of its own either.  What a host leads to is still
judged here where its name is known here; else it is the other proxy's to know.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from letta_code.host.proxy_requests import LONGEST_HEAD, ProxyRequest

_ASKED = {True: ("https_proxy", "all_proxy"), False: ("http_proxy", "all_proxy")}
_PORTS = {"http": 80, "https": 443}
_INSIDE = {"local", "localhost", "internal", "intranet", "private", "corp", "home", "lan", "arpa"}


class Upstream(NamedTuple):
    """A proxy by HTTP; `tls` to it itself; `authorization` is the value of its header, "" for none."""

    host: str
    port: int
    tls: bool = False
    authorization: str = ""

    def head(self, request: ProxyRequest) -> bytes:
        """What it is sent for a request: a CONNECT, or the request with the whole address in it."""
        own = f"Proxy-Authorization: {self.authorization}\r\n" if self.authorization else ""
        if request.tunnel:
            name = request.authority(None)
            return f"CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n{own}\r\n".encode("latin-1")
        line, _, rest = request.head.partition(b"\r\n")
        method, path, version = line.split(b" ")
        address = f"http://{request.authority(80)}".encode("latin-1") + path
        return b" ".join([method, address, version]) + b"\r\n" + own.encode("latin-1") + rest


def upstream_of(environ: Mapping[str, str], request: ProxyRequest) -> Upstream | None:
    """The person's proxy for a request, None where it is to be asked for directly.

    Raises `OSError` for one that cannot be gone through; its text names the variable, never what is in it.
    """
    found = next(((one, text) for one in _ASKED[request.tunnel] if (text := _value(environ, one))), None)
    if found is None or _direct(request.host, _value(environ, "no_proxy")):
        return None
    name, text = found
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        raise OSError(f"your own proxy, which {name.upper()} names, cannot be read") from None
    if parts.scheme not in _PORTS or not host:
        raise OSError(
            f"your own proxy, which {name.upper()} names, is not one by http or https: it cannot be used here"
        )
    known = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    basic = f"Basic {base64.b64encode(known.encode()).decode()}" if parts.username else ""
    return Upstream(host, port, parts.scheme == "https", basic)


def may_be_inside(host: str) -> bool:
    """Whether a name that is not known here may be one of the person's own network, which another proxy may know."""
    return "." not in host or host.rpartition(".")[2] in _INSIDE


async def passed(
    upstream: Upstream, there: asyncio.StreamReader, away: asyncio.StreamWriter, request: ProxyRequest
) -> str:
    """Make ready what leads to the proxy: with TLS where it wants it, and with a tunnel where one was asked for.

    Why there is none, "" when all is ready.  Raises `OSError`.
    """
    if upstream.tls:
        await away.start_tls(ssl.create_default_context(), server_hostname=upstream.host)
    if not request.tunnel:
        return ""
    away.write(upstream.head(request))
    try:
        answer = await there.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return "it gave no answer"
    words = answer[:LONGEST_HEAD].split(b"\r\n")[0].split(b" ")
    code = words[1].decode("latin-1") if len(words) > 1 and words[1].isdigit() else ""
    return "" if code.startswith("2") else f"it answered {code or 'what no proxy does'}"


def _value(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _direct(host: str, listed: str) -> bool:
    """Whether NO_PROXY lists a host: itself, a domain it is in, or `*` for all."""
    for one in (part.strip().lower() for part in listed.split(",")):
        name = one.removeprefix("*").lstrip(".")
        if one == "*" or (name and (host == name or host.endswith(f".{name}"))):
            return True
    return False
