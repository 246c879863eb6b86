"""Requests to the proxy: the strict reading of a head, and what is sent on in its place."""

from __future__ import annotations

import re
from typing import NamedTuple

from letta_code.host.web_addresses import NotAHost, authority_of

LONGEST_HEAD = 64 * 1024
_LINE = re.compile(r"([A-Z]{3,20}) ([!-~]+) HTTP/1\.[01]", re.ASCII)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*")
# Between two neighbours only; the host is set anew from what was judged.
_HOP = {"connection", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "upgrade"}


class BadRequest(ValueError):
    """The head is not what a proxy understands; `code` is the answer's."""

    def __init__(self, text: str, code: int = 400) -> None:
        super().__init__(text)
        self.code = code


class ProxyRequest(NamedTuple):
    """`tunnel` is a CONNECT; else `head` is what is sent to the host, followed by `length` bytes of the body."""

    host: str
    port: int
    tunnel: bool
    head: bytes = b""
    length: int = 0

    def authority(self, usual: int | None) -> str:
        """Host and port as they are written; the port is left out where it is the usual one."""
        named = f"[{self.host}]" if ":" in self.host else self.host
        return named if self.port == usual else f"{named}:{self.port}"


def read_head(head: bytes) -> ProxyRequest:
    """A head up to and with its empty line; raises `BadRequest`."""
    lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    first = _LINE.fullmatch(lines[0])
    if first is None:
        raise BadRequest("its first line is none of HTTP/1")
    if not all(_HEADER.fullmatch(line) for line in lines[1:]):
        raise BadRequest("a header is not written as headers are")
    method, target = first[1], first[2]
    try:
        if method == "CONNECT":
            host, port = authority_of(target, None)
            return ProxyRequest(host, port, tunnel=True)
        return _plain(method, target, lines[1:])
    except NotAHost as error:
        raise BadRequest(f"its host is refused: {error}") from error


def _plain(method: str, target: str, headers: list[str]) -> ProxyRequest:
    scheme, slashes, rest = target.partition("://")
    if scheme.lower() != "http" or not slashes:
        raise BadRequest("it asks for no http://… address; https goes through CONNECT")
    if method == "TRACE":  # would send back what is added on the way, a proxy's password
        raise BadRequest("it is a TRACE")
    found = re.fullmatch(r"([^/?#]*)(/?[^#]*)", rest)
    if found is None:
        raise BadRequest("its address cannot be read in one way only")
    host, port = authority_of(found[1], 80)
    path = found[2] if found[2].startswith("/") else "/" + found[2]
    named = f"[{host}]" if ":" in host else host
    kept = [line for line in headers if line.partition(":")[0].lower() not in _HOP]
    first = [f"{method} {path} HTTP/1.1", f"Host: {named}" + ("" if port == 80 else f":{port}"), "Connection: close"]
    text = "\r\n".join([*first, *kept, "", ""])
    return ProxyRequest(host, port, tunnel=False, head=text.encode("latin-1"), length=_length(headers))


def _length(headers: list[str]) -> int:
    fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in headers)]
    if any(name == "transfer-encoding" for name, _ in fields):
        raise BadRequest("bodies of unknown length are sent through https only", 501)
    lengths = {value for name, value in fields if name == "content-length"}
    if len(lengths) > 1 or not all(value.isascii() and value.isdigit() and len(value) < 16 for value in lengths):
        raise BadRequest("the length of its body is unclear")
    return int(next(iter(lengths), "0"))
