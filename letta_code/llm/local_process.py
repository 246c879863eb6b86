"""A local model's own process: started when it is first asked, restarted when it died, ended with us."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from letta_code.core.errors import BadRequest
from letta_code.host.process import Child, Launcher, Pipe
from letta_code.llm.local_server import KEY_VARIABLE
from letta_code.llm.redact import Secret

_SCRIPT = Path(__file__).with_name("local_server.py")
_LOG_BYTES = 8_192
# What llama.cpp, its thread pool and its GPU backends look at; keys and the like stay out.
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
_PASSED_PREFIXES = ("CUDA_", "GGML_", "HIP_", "HSA_", "LLAMA_", "OMP_", "ROCR_", "VK_")


class _Line(msgspec.Struct):
    url: str = ""
    error: str = ""


class ModelProcess:
    """The process that serves one model file; `library` is the folder that xllamacpp is imported from."""

    def __init__(self, file: Path, window: int, library: str, *, script: Path = _SCRIPT) -> None:
        self._argv = [sys.executable, "-I", str(script), str(file), str(window), library]
        self.file = file
        self._launcher = Launcher()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Task[str] | None = None
        self._child: Child | None = None
        self._pipes: list[Pipe] = []
        self._log = bytearray()
        self.key = Secret(os.urandom(16).hex())

    @property
    def pid(self) -> int:
        """The process's id, 0 while there is none."""
        return self._child.pid if self._child and self.running else 0

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and not self._child.ended.done() and not self._moved()

    @property
    def loading(self) -> bool:
        """Whether the model is being read into memory."""
        return self._starting is not None and not self._starting.done()

    async def url(self) -> str:
        """The server's address; starts it and waits as long as the model takes to load.

        Who stops waiting does not stop the loading.  Raises `BadRequest` when the model cannot be loaded.
        """
        if self._moved():
            self._forget()
        if self._starting is None or (self._starting.done() and not self.running):
            self._loop = asyncio.get_running_loop()
            self._starting = self._loop.create_task(self._start())
        return await asyncio.shield(self._starting)

    async def close(self) -> None:
        """End the process; it can be started again."""
        starting, self._starting = self._starting, None
        if starting is not None and not self._moved():
            starting.cancel()
            with suppress(asyncio.CancelledError, BadRequest):
                await starting
        self._child = None
        await self._launcher.close()
        self._forget()

    async def has_ended(self, within: float = 2.0) -> bool:
        """Whether the process is gone, or goes within so many seconds: its connections break before we hear of it."""
        if self._child is not None and self.running:
            await asyncio.wait({self._child.ended}, timeout=within)
        return not self.running

    def why_ended(self) -> str:
        """What is known of the end of a process that has ended."""
        ended = self._child.ended if self._child and self._child.ended.done() else None
        if ended is None or ended.exception() is not None:
            return "was lost"
        code = ended.result()
        if code < 0:
            reason = "was killed (out of memory?)" if code == -9 else f"crashed (signal {-code})"
        else:
            reason = f"ended with code {code}"
        last = self._last_words()
        return f"{reason}{f': {last}' if last else ''}"

    async def _start(self) -> str:
        self._close_pipes()
        self._log.clear()
        line = bytearray()
        said: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def told(data: bytes) -> None:
            line.extend(data)
            if b"\n" in line and not said.done():
                said.set_result(None)

        out, log = Pipe(told), Pipe(self._logged)
        self._pipes = [out, log]
        env = {**_environment(os.environ), KEY_VARIABLE: self.key.reveal()}
        descriptors = [out.write_end, log.write_end]
        try:
            child = await self._launcher.spawn(self._argv, cwd="/", env=env, output=descriptors)
        except OSError as error:
            raise BadRequest(f"The process for {self.file} could not be started: {error}") from error
        for pipe in self._pipes:
            pipe.started()
        self._child = child
        await asyncio.wait({said, child.ended}, return_when=asyncio.FIRST_COMPLETED)
        return self._address(bytes(line))

    def _address(self, line: bytes) -> str:
        answer = _Line()
        with suppress(msgspec.DecodeError):
            answer = msgspec.json.decode(line, type=_Line)
        if answer.url:
            return answer.url
        why = answer.error or self.why_ended()
        last = self._last_words()
        more = f" ({last})" if last and last not in why else ""
        raise BadRequest(
            f"The model {self.file} could not be loaded: {why}{more}",
            hint="Is the file whole, and is there memory enough for it? A smaller model may do.",
        )

    def _logged(self, data: bytes) -> None:
        self._log += data
        del self._log[:-_LOG_BYTES]

    def _last_words(self) -> str:
        """The last line of the log that tells of an error."""
        lines = self._log.decode("utf-8", "replace").splitlines()
        told = [line for line in lines if " E " in line or "error" in line.lower() or "failed" in line.lower()]
        return told[-1].strip()[-300:] if told else ""

    def _moved(self) -> bool:
        """Whether we are asked on another event loop than the one that the process belongs to."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return False
        return self._loop is not None and self._loop is not running

    def _forget(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._close_pipes()
        self._pipes = []
        self._starting = self._child = self._loop = None

    def _close_pipes(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        self._pipes = []


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name in _PASSED or name.startswith(_PASSED_PREFIXES)}
