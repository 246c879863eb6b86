"""Web addresses: the one reading of a host name, and which IP addresses are out in the world."""

from __future__ import annotations

import ipaddress
import re
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

LONGEST = 253
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)  # in the last place, programs read the whole name as a number
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_PRIVATE = [
    *map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")),
    ipaddress.IPv6Network("fc00::/7"),
]
# Addresses of one network written as another's; what they lead to depends on routers that nobody here knows.
_TUNNELS = [ipaddress.IPv6Network(one) for one in ("2002::/16", "2001::/32", "64:ff9b:1::/48", "::/96")]


class NotAHost(ValueError):
    """What was given is no host name that can only be read in one way; the text says why."""


def host_of(text: str) -> str:
    """A host name as it is judged and resolved: lower case, or an IP address in its usual form.

    Raises `NotAHost` for whatever two programs could read differently: other characters than those of names (a name
    with others must come as `xn--…`), a trailing dot, IP addresses as one number, in octal, in hex or short, IPv4
    inside IPv6, an interface's name behind an address.
    """
    if text.startswith("[") and text.endswith("]"):
        return _ipv6(text[1:-1])
    if not text.isascii():  # before anything else: some letters become others in lower case
        raise NotAHost("it has characters that host names do not have")
    name = text.lower()
    if not name or len(name) > LONGEST:
        raise NotAHost("it is empty or too long")
    if name.endswith("."):
        raise NotAHost("it ends with a dot")
    labels = name.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise NotAHost("it has characters that host names do not have")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise NotAHost("it is an IP address in an unusual form") from None
    return name


def _ipv6(text: str) -> str:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise NotAHost("it is no IPv6 address") from None
    if address.scope_id is not None:
        raise NotAHost("it names an interface of this machine")
    if address.ipv4_mapped is not None:
        raise NotAHost("it is an IPv4 address inside an IPv6 one")
    return str(address)


def authority_of(text: str, usual: int | None) -> tuple[str, int]:
    """Host and port of `host:port`; `usual` is the port where none is given, None where one must be.

    Raises `NotAHost`, for a user's name before the host too.
    """
    if "@" in text:
        raise NotAHost("there is a user's name before it")
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, "" if usual is None else str(usual)
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535):
        raise NotAHost("its port is none")
    return host_of(host), int(port)


def private(address: str, host: str) -> bool:
    """Whether an IP address of a private network may be meant by a host that a person named exactly.

    This machine itself, and what is only reached from it (a cloud's metadata), must be named as such: by the address or
    `localhost`.  Another name is somebody else's, who can let it lead there at any time.
    """
    try:
        found: Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    if address == host or (host == "localhost" and found.is_loopback):
        return True
    return any(found in one for one in _PRIVATE)


def public(address: str) -> bool:
    """Whether an IP address is out in the world: not this machine, its networks, a cloud's metadata, a multicast."""
    try:
        found: Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found in _NAT64:
            found = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        elif found.ipv4_mapped is not None or found.scope_id or any(found in one for one in _TUNNELS):
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved
