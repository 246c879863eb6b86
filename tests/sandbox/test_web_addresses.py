"""Web addresses and requests: one reading of every host, and nothing of this machine's networks is out in the world."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letta_code.host.proxy_requests import BadRequest, ProxyRequest, read_head
from letta_code.host.web_addresses import NotAHost, authority_of, host_of, public


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("docs.python.org", "docs.python.org"),
        ("DOCS.Python.ORG", "docs.python.org"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a_b.example", "a_b.example"),
        ("1.2.3.4", "1.2.3.4"),
        ("[2606:4700::1111]", "2606:4700::1111"),
        ("[2606:4700:0:0:0:0:0:1111]", "2606:4700::1111"),
        ("1password.com", "1password.com"),
    ],
)
def test_hosts_have_one_form(text: str, host: str) -> None:
    assert host_of(text) == host


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "python.org.", "python..org", ".python.org", "-a.org", "a-.org", "a" * 64 + ".org"),
        "a." * 127 + "abc",
        *("evil.com\0.python.org", "evil.com%00.python.org", "python.org@evil.com", "evil.com#.python.org"),
        *("evil.com/.python.org", "evil.com\\.python.org", "evil.com?.python.org", "evil.com .python.org", "a\nb.org"),
        *("bücher.example", "pythоn.org", "python。org", "python．org", "ｐython.org", "pyth\u200bon.org"),
        "\u212a.org",
        *("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.1", "0x7f.1", "1.2.3.4.5", "1.2.3.256"),
        "1.2.3.0x4",
        *("[::ffff:1.2.3.4]", "[::ffff:7f00:1]", "[fe80::1%eth0]", "[::1", "::1", "[1.2.3.4]", "[]", "[v1.a]"),
        "[::1]x",
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(NotAHost):
        host_of(text)


@given(st.text(max_size=40))
def test_a_host_is_plain_or_refused_and_reads_itself(text: str) -> None:
    try:
        host = host_of(text)
    except NotAHost:
        return
    assert host.isascii() and not set(host) & set("@/\\?#%\0 \t\r\n")
    assert host_of(f"[{host}]" if ":" in host else host) == host


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.org:443", ("a.org", 443)),
        ("a.org", ("a.org", 80)),
        ("[2606:4700::1]:8443", ("2606:4700::1", 8443)),
        ("[2606:4700::1]", ("2606:4700::1", 80)),
    ],
)
def test_authorities(text: str, found: tuple[str, int]) -> None:
    assert authority_of(text, 80) == found


@pytest.mark.parametrize(
    "text", ["a.org:0", "a.org:65536", "a.org:", "a.org:+443", "a.org:４４３", "u:p@a.org:443", "a:1:2"]
)
def test_authorities_that_are_refused(text: str) -> None:
    with pytest.raises(NotAHost):
        authority_of(text, 80)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
        ),
        *("192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1"),
        *("fd00:ec2::254", "ff02::1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
        *("64:ff9b:1::8.8.8.8", "2002:7f00:1::", "2001:0:1::", "2001:db8::1", "fe80::1%eth0", "no address", ""),
    ],
)
def test_what_is_not_out_in_the_world(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::808:808"])
def test_what_is_out_in_the_world(address: str) -> None:
    assert public(address)


@given(st.ip_addresses(v=4))
def test_nothing_private_is_public(address: ipaddress.IPv4Address) -> None:
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        assert not public(str(address))


# ------------------------------------------------------------ requests


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def test_a_tunnel() -> None:
    assert read_head(head("CONNECT a.org:443 HTTP/1.1", "Host: evil.com")) == ProxyRequest("a.org", 443, tunnel=True)


def test_a_plain_request_is_written_anew() -> None:
    request = read_head(
        head(
            "POST http://A.org:8080?q=1 HTTP/1.0",
            "Host: evil.com",
            "hOsT: evil.org",
            "Proxy-Authorization: Basic x",
            "Connection: keep-alive, X",
            "Content-Length: 3",
            "Accept: */*",
        )
    )
    assert request == ProxyRequest(
        "a.org",
        8080,
        tunnel=False,
        head=b"POST /?q=1 HTTP/1.1\r\nHost: a.org:8080\r\nConnection: close\r\n"
        b"Content-Length: 3\r\nAccept: */*\r\n\r\n",
        length=3,
    )


@pytest.mark.parametrize(
    "lines",
    [
        ("GET / HTTP/1.1", "Host: a.org"),
        ("GET https://a.org/ HTTP/1.1",),
        ("GET http://u@a.org/ HTTP/1.1",),
        ("GET http://a.org\\@b.org/ HTTP/1.1",),
        ("GET http://a.org/ HTTP/1.1", " folded: x"),
        ("GET http://a.org/ HTTP/1.1", "A: b\nX-Smuggled: 1"),
        ("GET http://a.org/ HTTP/1.1", "A : b"),
        ("GET http://a.org/ HTTP/1.1", "A: b\rC: d"),
        ("GET http://a.org/\0 HTTP/1.1",),
        ("GET http://a.org/ x HTTP/1.1",),
        ("GET http://a.org/ HTTP/2.0",),
        ("get http://a.org/ HTTP/1.1",),
        ("TRACE http://a.org/ HTTP/1.1", "Max-Forwards: 0"),
        ("GET http:///etc HTTP/1.1",),
        ("CONNECT a.org HTTP/1.1",),
        ("CONNECT a.org.:443 HTTP/1.1",),
        ("CONNECT evil.com\0.a.org:443 HTTP/1.1",),
        ("POST http://a.org/ HTTP/1.1", "Content-Length: 3", "Content-Length: 4"),
        ("POST http://a.org/ HTTP/1.1", "Content-Length: -1"),
        ("POST http://a.org/ HTTP/1.1", "Content-Length: 3, 3"),
        ("POST http://a.org/ HTTP/1.1", "Transfer-Encoding: chunked"),
    ],
)
def test_requests_that_are_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(BadRequest):
        read_head(head(*lines))
