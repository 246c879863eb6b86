"""Downloads of model files: resumed where they broke off, compared with a known or announced SHA-256, never half used.

The bytes go to `<file>.part`, with the state that resuming needs in `<file>.part.json`; only a whole file whose hash is
right gets its name.  What a server announces as its hash protects against a torn download and against a file that is
changed later, not against a server that lies from the start; where a hash of ours is known, it alone counts.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

import msgspec

from letta_code.core.errors import ConfigError, EndpointUnreachable, LettaError
from letta_code.core.ids import utc_now
from letta_code.core.messages import Value
from letta_code.host.files import atomic_write, read_bounded
from letta_code.host.locks import FileLock
from letta_code.llm.address import public_url
from letta_code.llm.local_gguf import is_gguf
from letta_code.llm.local_list import ListedFile, Pulled, record_of
from letta_code.llm.transport import load_httpx

if TYPE_CHECKING:
    import httpx

_TRIES = 5  # connections in a row that bring nothing, before it is given up
_SPARE = 64 << 20  # bytes of the disk that a download leaves free
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LARGEST_STATE = 64 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


class OnProgress(Protocol):
    """Hears how far a download is: bytes that are here, and all of them (0: the server does not say)."""

    def __call__(self, done: int, total: int) -> None: ...


class OnWait(Protocol):
    """Hears that a connection broke and that the download goes on in so many seconds."""

    def __call__(self, why: str, seconds: float) -> None: ...


class PullLimits(Value):
    """Seconds: `silence` without a byte counts as a broken connection, `pause` is the first wait before going on."""

    connect: float = 20.0
    silence: float = 60.0
    pause: float = 1.0


class _State(Value):
    """What is known of a part file: `validator` is what If-Range needs to get the rest of the very same file."""

    url: str
    validator: str = ""
    total: int = 0
    announced: str = ""
    announced_by: str = ""


class _Broken(Exception):
    """The connection ended too early; what came is kept and the rest can be asked for."""


class WrongHash(LettaError):
    """A whole file came, and it is not the one that was meant."""

    kind = "wrong_hash"


def pull(
    wanted: ListedFile,
    file: Path,
    *,
    on_progress: OnProgress,
    on_wait: OnWait,
    limits: PullLimits | None = None,
) -> Pulled:
    """Download a model to `file`, going on where an earlier try ended.

    Raises a `LettaError` that says what is left where, and what to do: no room, no connection, a hash that is wrong
    (the file is kept aside), no model at that address.
    """
    return _Download(wanted, file, on_progress, on_wait, limits or PullLimits()).run()


class _Download:
    def __init__(
        self, wanted: ListedFile, file: Path, on_progress: OnProgress, on_wait: OnWait, limits: PullLimits
    ) -> None:
        self._wanted = wanted
        self._file = file
        self._part = file.with_name(f"{file.name}.part")
        self._on_progress = on_progress
        self._on_wait = on_wait
        self._limits = limits

    def run(self) -> Pulled:
        lock = FileLock(self._part.with_name(f"{self._part.name}.lock"), what="local pull")
        with self._told_when_full():
            free = lock.try_lock()
        if not free:
            owner = lock.owner()
            raise ConfigError(
                f"{self._wanted.name} is being downloaded by {owner.described() if owner else 'another process'}.",
                hint="Wait for it, or stop that process and run the command again: it goes on where it ended.",
            )
        with lock, self._told_when_full():
            self._fetch()
            return self._accept()

    def _fetch(self) -> None:
        """Ask until all bytes are here; connections that bring something may break as often as they like."""
        fruitless = 0
        while True:
            before = self._have()
            try:
                self._connect()
                return
            except _Broken as error:
                fruitless = 0 if self._have() > before else fruitless + 1
                if fruitless >= _TRIES:
                    raise self._unreachable(str(error)) from error
                pause = self._limits.pause * 2**fruitless
                self._on_wait(str(error), pause)
                time.sleep(pause)

    def _connect(self) -> None:
        httpx = load_httpx()
        limits = self._limits
        timeout = httpx.Timeout(limits.silence, connect=limits.connect)
        try:
            with cast("httpx.Client", httpx.Client(timeout=timeout, follow_redirects=True, max_redirects=10)) as client:
                state = self._state()
                have = self._have() if state.validator else 0
                headers = {"accept-encoding": "identity", "user-agent": "letta-code"}
                if have:
                    headers |= {"range": f"bytes={have}-", "if-range": state.validator}
                with client.stream("GET", self._wanted.url, headers=headers) as response:
                    self._receive(response, have, state)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ConfigError(f"{public_url(self._wanted.url)} is no address: {error}") from error
        except httpx.TooManyRedirects as error:
            raise self._unreachable("it redirects in a circle") from error
        except httpx.HTTPError as error:
            raise _Broken(str(error) or type(error).__name__) from error

    def _receive(self, response: httpx.Response, have: int, state: _State) -> None:
        self._check_address(response)
        if response.status_code == 416 and have and have == state.total:
            return  # all of it was here already
        if response.status_code == 206 and have and _range_start(response.headers) == have:
            self._append(response, have, state)
            return
        if response.status_code in (206, 416):
            self._forget()  # a range that was not asked for: from the beginning, without one
            raise _Broken(f"the server answered {response.status_code}")
        if response.status_code in (408, 425, 429, 500, 502, 503, 504):
            raise _Broken(f"the server answered {response.status_code}")
        if response.status_code != 200:
            raise ConfigError(
                f"{public_url(str(response.url))} answered {response.status_code}.",
                hint=_refusal_hint(response.status_code),
            )
        state = self._first_state(response)
        self._check_room(state.total)
        self._forget()
        atomic_write(self._state_file(), msgspec.json.encode(state))
        self._append(response, 0, state)

    def _append(self, response: httpx.Response, have: int, state: _State) -> None:
        with self._part.open("ab" if have else "wb", buffering=0) as file:
            os.fchmod(file.fileno(), 0o600)
            for data in response.iter_raw():
                _write_whole(file, data)
                have += len(data)
                self._on_progress(have, state.total)
            os.fsync(file.fileno())
        if state.total and have < state.total:
            raise _Broken(f"the connection ended after {have} of {state.total} bytes")

    def _first_state(self, response: httpx.Response) -> _State:
        length = response.headers.get("content-length", "")
        announced, by = announced_hash([*response.history, response])
        tag = response.headers.get("etag", "")
        validator = tag if tag and not tag.startswith("W/") else response.headers.get("last-modified", "")
        ranges = response.headers.get("accept-ranges", "bytes") != "none"
        return _State(
            url=public_url(self._wanted.url),
            validator=validator if ranges else "",
            total=int(length) if length.isdigit() else 0,
            announced=announced,
            announced_by=by,
        )

    def _accept(self) -> Pulled:
        """Give the whole file its name, once it is known to be the right one."""
        state = self._state()
        if not is_gguf(self._part):
            raise self._put_aside(
                "no-model", f"What {public_url(self._wanted.url)} sent is no GGUF model (perhaps a web page)."
            )
        actual = self._hash()
        expected = self._wanted.sha256 or state.announced
        by = "the hash in letta-code's list" if self._wanted.sha256 else state.announced_by
        if expected and actual != expected:
            said = f"The SHA-256 of {self._wanted.name} is {actual}, and {by} says {expected}: it is not used."
            raise self._put_aside(f"wrong-{actual[:8]}", said)
        pulled = Pulled(
            url=public_url(self._wanted.url),
            sha256=actual,
            size=self._have(),
            at=utc_now(),
            checked=by if expected else "",
        )
        os.replace(self._part, self._file)
        atomic_write(record_of(self._file), msgspec.json.format(msgspec.json.encode(pulled)) + b"\n")
        self._state_file().unlink(missing_ok=True)
        return pulled

    def _put_aside(self, why: str, said: str) -> WrongHash:
        aside = self._file.with_name(f"{self._file.name}.{why}")
        os.replace(self._part, aside)
        self._state_file().unlink(missing_ok=True)
        return WrongHash(said, hint=f"It was kept as {aside}. Remove it, and pull again or from another address.")

    def _hash(self) -> str:
        with self._part.open("rb") as file:
            return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()

    def _have(self) -> int:
        try:
            return self._part.stat().st_size
        except FileNotFoundError:
            return 0

    def _state(self) -> _State:
        """The state of the part file, an empty one when it belongs to another address or is not readable."""
        with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
            state = msgspec.json.decode(read_bounded(self._state_file(), _LARGEST_STATE), type=_State)
            if state.url == public_url(self._wanted.url):
                return state
        return _State(url=public_url(self._wanted.url))

    def _state_file(self) -> Path:
        return self._part.with_name(f"{self._part.name}.json")

    def _forget(self) -> None:
        self._part.unlink(missing_ok=True)
        self._state_file().unlink(missing_ok=True)

    def _check_address(self, response: httpx.Response) -> None:
        if self._wanted.url.startswith("https://") and response.url.scheme != "https":
            asked, sent = public_url(self._wanted.url), public_url(str(response.url))
            raise ConfigError(f"{asked} redirects to {sent}, which is not encrypted.")

    def _check_room(self, total: int) -> None:
        room = os.statvfs(self._file.parent)
        free = room.f_bavail * room.f_frsize + self._have()
        if total and total + _SPARE > free:
            raise ConfigError(
                f"{self._wanted.name} needs {_size(total)}, and {self._file.parent} has {_size(free)} free.",
                hint="Make room, or set LETTA_HOME to a folder on another disk.",
            )

    @contextmanager
    def _told_when_full(self) -> Generator[None, None, None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _FULL:
                raise ConfigError(
                    f"{error.filename or self._part} cannot be written: {error.strerror or error}."
                ) from error
            raise ConfigError(
                f"The disk is full: {_size(self._have())} of {self._wanted.name} are in {self._part}.",
                hint="Make room and run the command again: it goes on where it ended. Or remove that file.",
            ) from error

    def _unreachable(self, why: str) -> EndpointUnreachable:
        have = self._have()
        kept = f" {_size(have)} of it are here; run the command again to go on." if have else ""
        url = public_url(self._wanted.url)
        hint = f"Check the address and the network.{kept}"
        return EndpointUnreachable(
            f"{self._wanted.name} could not be downloaded from {url}: {why}.", hint=hint, url=url
        )


def announced_hash(responses: list[httpx.Response]) -> tuple[str, str]:
    """The SHA-256 (hex) that a server says the file has, and the header that said it; "" and "" when none did.

    The redirect of a model hub names it (`x-linked-etag`), object stores and RFC 9530 have headers of their own, and
    an ETag that looks like a SHA-256 is taken for one.
    """
    for response in responses:
        headers = response.headers
        for name in ("x-linked-etag", "x-sha256", "x-checksum-sha256", "x-amz-checksum-sha256"):
            if found := _as_hex(headers.get(name, "")):
                return found, f"the server ({name})"
        for name in ("repr-digest", "content-digest", "digest"):
            value = re.search(r"sha-256=:?([A-Za-z0-9+/=]+)", headers.get(name, ""), re.IGNORECASE)
            if value and (found := _as_hex(value[1])):
                return found, f"the server ({name})"
        if found := _as_hex(headers.get("etag", "")):
            return found, "the server (etag)"
    return "", ""


def _as_hex(value: str) -> str:
    text = value.strip().strip('"')
    if _SHA256.fullmatch(text.lower()):
        return text.lower()
    if len(text) != 44:  # 32 bytes in base64
        return ""
    try:
        return b64decode(text, validate=True).hex()
    except (Base64Error, ValueError):
        return ""


def _range_start(headers: Mapping[str, str]) -> int:
    found = re.match(r"bytes (\d+)-", headers.get("content-range", ""))
    return int(found[1]) if found else -1


def _write_whole(file: BinaryIO | Any, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _refusal_hint(status: int) -> str:
    if status in (401, 403):
        return "The address wants a login. Download the file in a browser, and use it as --model local/PATH.gguf."
    if status == 404:
        return "The file is not there (any more). Give another address: letta-code local pull URL."
    return "Try again later, or give another address: letta-code local pull URL."


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
