"""HTTP: one POST whose answer is read as it comes, over httpx, which is loaded when first needed."""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar, cast

from letta_code.core.errors import ConfigError, EndpointUnreachable, ProviderError, StreamBroken, StreamStalled
from letta_code.core.messages import Value
from letta_code.llm.address import is_loopback
from letta_code.llm.faults import Asked, fault_of
from letta_code.llm.redact import Secret, redact

if TYPE_CHECKING:
    import ssl
    from types import ModuleType

    import httpx

_T = TypeVar("_T")

_ERROR_BYTES = 64 * 1024  # of a refusal's body
_DRAIN_SECONDS = 0.25  # for the last bytes after an answer's end mark: a connection read to its end can be used again
_KEEP_SECONDS = 120.0  # an idle connection is kept over a long tool call: a new one costs a TLS handshake


class StreamLimits(Value):
    """How long an answer may be silent, in seconds; 0: no limit.

    `first_part` is from sending to the first part of the answer; `silence` between any two bytes after it; `closing`
    how long to wait for the rest once the answer itself is complete.
    """

    connect: float = 15.0
    first_part: float = 300.0
    silence: float = 60.0
    closing: float = 5.0


class Watch:
    """The clock of one answer: tells how long the next read may take."""

    def __init__(self, limits: StreamLimits) -> None:
        self._limits = limits
        self._sent = time.monotonic()
        self._phase = "first_part"

    def started(self) -> None:
        """The first part has come."""
        self._phase = "silence"

    def finished(self) -> None:
        """The answer is complete; only counts and the end mark may still come."""
        self._phase = "closing"

    def ended(self) -> None:
        """The end mark has come; nothing more is of use."""
        self._phase = "draining"

    @property
    def complete(self) -> bool:
        """Whether the answer is complete."""
        return self._phase in ("closing", "draining")

    def allowed(self) -> float | None:
        """Seconds that the next read may take, None for no limit."""
        if self._phase == "first_part":
            limit = self._limits.first_part
            return max(self._sent + limit - time.monotonic(), 0.001) if limit else None
        if self._phase == "draining":
            return _DRAIN_SECONDS
        return (self._limits.silence if self._phase == "silence" else self._limits.closing) or None

    def stalled(self, url: str) -> StreamStalled:
        """The error for a read that took longer."""
        if self._phase == "first_part":
            said = f"{url} sent no answer within {self._limits.first_part:g} s"
            hint = "A slow model needs more time: set first_part_seconds of the endpoint (0: no limit)."
        else:
            said = f"{url} went silent for {self._limits.silence:g} s in the middle of an answer"
            hint = "The connection or the provider hangs; what had come is kept."
        return StreamStalled(said, hint=hint, url=url)


def load_httpx() -> ModuleType:
    """httpx without its command line: its `__init__` imports click, pygments and rich for that where they are found.

    httpx itself allows for their absence (it catches the ImportError), which is told to it here for the moment of its
    import: 20 ms less, 22 instead of 50 ms.
    """
    if "httpx" not in sys.modules:
        modules = cast("dict[str, ModuleType | None]", sys.modules)
        modules["httpx._main"] = None
        try:
            importlib.import_module("httpx")
        finally:
            modules.pop("httpx._main", None)
    return sys.modules["httpx"]


class Answer:
    """A 200: its content type (lower case) and its bytes as they come."""

    __slots__ = ("chunks", "content_type")

    def __init__(self, content_type: str, chunks: AsyncGenerator[bytes, None]) -> None:
        self.content_type = content_type
        self.chunks = chunks

    async def whole(self, most: int = 4 * 1024 * 1024) -> bytes:
        """All bytes, at most `most` of them: for an answer that is no stream."""
        body = b""
        async for chunk in self.chunks:
            body += chunk
            if len(body) > most:
                break
        return body


class HttpPost:
    """POSTs to one address with fixed headers; keeps its connection between answers.

    HTTP/1.1 only.  Certificates of the environment (SSL_CERT_FILE) are used, and its proxies (HTTPS_PROXY, NO_PROXY)
    but for an address on this machine.  Redirects are not followed: the key would go elsewhere.
    """

    def __init__(self, asked: Asked, headers: Mapping[str, str], limits: StreamLimits, secret: Secret) -> None:
        self.asked = asked
        self._headers = {
            "content-type": "application/json",
            "accept": "text/event-stream",
            "accept-encoding": "identity",  # a compressing proxy would hold parts back
            "user-agent": "letta-code",
            **headers,
        }
        self._limits = limits
        self.secret = secret
        self._client: httpx.AsyncClient | None = None

    def warm(self) -> None:
        """Load httpx and make the client ahead of the first request; may be called in a thread."""
        self._open()

    @asynccontextmanager
    async def answer(self, body: bytes, watch: Watch) -> AsyncGenerator[Answer, None]:
        """Send a request and give its answer, which must be a 200; leaving the block ends it.

        Raises the `ProviderError` for everything else, `ConfigError` for an address that is none.
        """
        client = self._open()
        import httpx

        url = self.asked.shown
        try:
            request = client.build_request("POST", self.asked.url, content=body, headers=self._headers)
            response = await within(watch, url, client.send(request, stream=True))
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            why = f": {error}" if url == self.asked.url else ""  # it quotes the address, perhaps with the password
            said = f"{url!r} is no address to ask{why}"
            raise ConfigError(said, hint="Correct the endpoint's base_url.") from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        try:
            if response.status_code != 200:
                words = await _refusal(response)
                raise fault_of(response.status_code, response.headers, words, self.asked, self.secret)
            async with aclosing(self._chunks(response, watch)) as chunks:
                yield Answer(response.headers.get("content-type", "").lower(), chunks)
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Give back the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = new_client(self.asked.url, self._limits)
        return self._client

    async def _chunks(self, response: httpx.Response, watch: Watch) -> AsyncGenerator[bytes, None]:
        import httpx

        url = self.asked.shown
        async with aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_bytes())) as chunks:
            try:
                while True:
                    yield await within(watch, url, anext(chunks))
            except StopAsyncIteration:
                return
            except httpx.HTTPError as error:
                said = f"The connection to {url} broke in the middle of an answer: {_words(error)}"
                raise StreamBroken(said, hint="What had come is kept.", url=url) from error

    def _unreachable(self, error: httpx.HTTPError) -> ProviderError:
        import httpx

        url = self.asked.shown
        words = redact(_words(error), self.secret)
        if isinstance(error, httpx.ProxyError):
            return EndpointUnreachable(
                f"{url} could not be reached through the proxy: {words}",
                hint="Check HTTPS_PROXY and NO_PROXY.",
                url=url,
            )
        if not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            said = f"{url} hung up before it answered: {words}"
            return StreamBroken(said, hint="Send it again.", url=url)
        if isinstance(error, httpx.ConnectTimeout):
            words = f"no connection within {self._limits.connect:g} s"
        unreachable = EndpointUnreachable(f"{url} could not be reached: {words}", hint=_reach_hint(words), url=url)
        if "CERTIFICATE" in words.upper():
            unreachable.retryable = False  # the same certificate comes again
        return unreachable


def new_client(url: str, limits: StreamLimits) -> httpx.AsyncClient:
    """An HTTP/1.1 client for one address, with the certificates of the environment and, but for an address on this
    machine, its proxies."""
    httpx = load_httpx()
    return cast(
        "httpx.AsyncClient",
        httpx.AsyncClient(
            verify=_certificates(url),
            http2=False,
            trust_env=not is_loopback(url),
            timeout=httpx.Timeout(None, connect=limits.connect, write=max(limits.silence, limits.connect)),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=_KEEP_SECONDS),
        ),
    )


def _certificates(url: str) -> ssl.SSLContext:
    """What TLS trusts.  Loading the authorities costs 25 ms, which a plain http address need not pay: an empty context
    is given there, which would refuse every certificate."""
    if url.startswith("http://"):
        import ssl

        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    import httpx

    return httpx.create_ssl_context()


async def within(watch: Watch, url: str, coming: Awaitable[_T]) -> _T:
    """Wait no longer than the watch allows; the wait begins and ends within one step of the caller's generator, so that
    no time limit spans a `yield` (the caller may be resumed by another task)."""
    try:
        async with asyncio.timeout(watch.allowed()):
            return await coming
    except TimeoutError:
        raise watch.stalled(url) from None


async def _refusal(response: httpx.Response) -> bytes:
    import httpx

    body = b""
    try:
        async with asyncio.timeout(10):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _ERROR_BYTES:
                    break
    except (httpx.HTTPError, TimeoutError):
        return body  # the status alone says enough
    return body


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _reach_hint(words: str) -> str:
    low = words.lower()
    if "certificate" in low:
        return "The certificate is not trusted here: SSL_CERT_FILE names a file with your own authority."
    if "name or service" in low or "nodename" in low or "name resolution" in low:
        return "There is no such host, or no network: check the address and the connection."
    if "refused" in low or "all connection attempts failed" in low:
        return "Nothing listens there: is the server running, and is the port right?"
    return "Check the address and the network."
