"""Models on this machine without any server of the person's: llama.cpp in a process of our own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from letta_code.config.paths import Paths
from letta_code.core.errors import BadRequest, ConfigError, EndpointUnreachable, ProviderError, StreamBroken
from letta_code.llm.faults import Asked
from letta_code.llm.history import CallIds
from letta_code.llm.local_gguf import read_facts
from letta_code.llm.local_list import find_model
from letta_code.llm.local_process import ModelProcess
from letta_code.llm.local_reply import ForcedReader
from letta_code.llm.local_wire import body_of
from letta_code.llm.model import ChatRequest, Finish, ModelInfo, StreamPart
from letta_code.llm.openai_chunks import ChunkReader
from letta_code.llm.streaming import Reader, stream_answer
from letta_code.llm.transport import HttpPost, StreamLimits, Watch, load_httpx

LARGEST_WINDOW = 16_384  # tokens; more costs memory for every one of them, and small models get lost in it
_UNSAID_WINDOW = 4_096
_INSTALL = "Install it with: pip install 'letta-code[local]'"
# A model that is read from a slow disk, or prefills a long prompt on two cores, takes minutes: no limits.
_LIMITS = StreamLimits(first_part=0, silence=0)


def open_local(name: str, *, window: int = 0, paths: Paths | None = None) -> LocalModel:
    """The model of a path that ends in .gguf, or of a name that was pulled; `window` in tokens replaces the default.

    Nothing is started yet.  Raises `ConfigError` when there is no such file, or the extra is not installed.
    """
    file = find_model(name, paths or Paths.find())
    facts = read_facts(file)
    trained = facts.window or _UNSAID_WINDOW
    tokens = min(window or LARGEST_WINDOW, trained)
    return LocalModel(f"local/{name}", ModelProcess(file, tokens, library_folder()), tokens)


def library_folder() -> str:
    """The folder that holds the package xllamacpp; raises `ConfigError` where the extra is missing."""
    from importlib.util import find_spec

    spec = find_spec("xllamacpp")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("Local models need llama.cpp, which is not installed.", hint=_INSTALL)
    return str(Path(next(iter(spec.submodule_search_locations))).parent)


class LocalModel:
    """A `ChatModel` whose process is started with the first question; each reply is one call or an answer."""

    def __init__(self, name: str, process: ModelProcess, window: int) -> None:
        self._info = ModelInfo(
            name=name,
            window=window,
            max_output=window // 4,
            input_price=0.0,
            output_price=0.0,
            lean=True,
            loopback=True,
        )
        self._process = process
        self._post: HttpPost | None = None
        self._crashes = 0

    @property
    def info(self) -> ModelInfo:
        """What the file says of the model."""
        return self._info

    @property
    def loading(self) -> bool:
        """Whether the model is being read into memory: what is waited for is not an answer yet."""
        return self._process.loading

    @property
    def process(self) -> ModelProcess:
        """The model's process."""
        return self._process

    def warm(self) -> None:
        """Load what the first request needs; may be called in a thread.  The model itself is loaded when asked."""
        load_httpx()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamPart, None]:
        """The parts of one reply, ending with `Finish`; see `ChatModel.stream`."""
        post = await self._post_to(await self._process.url())
        taken = {call.id for message in request.messages for call in getattr(message, "tool_calls", ())}
        ids = CallIds(taken)
        reader: Reader = ChunkReader(ids)
        if request.tools:
            reader = ForcedReader(reader, ids)
        body = body_of(request, self._info.max_output)
        try:
            async with aclosing(stream_answer(post, body, Watch(_LIMITS), reader)) as parts:
                async for part in parts:
                    if isinstance(part, Finish):
                        self._crashes = 0
                    yield part
        except ProviderError as error:
            raise await self._explained(error) from error

    async def close(self) -> None:
        """End the model's process; the next question would start it again."""
        if self._post is not None:
            await self._post.close()
            self._post = None
        await self._process.close()

    async def _post_to(self, url: str) -> HttpPost:
        asked = Asked(provider="llama.cpp", model=self._info.name, url=f"{url}/v1/chat/completions")
        if self._post is None or self._post.asked != asked:
            if self._post is not None:
                await self._post.close()
            headers = {"authorization": f"Bearer {self._process.key.reveal()}"}
            self._post = HttpPost(asked, headers, _LIMITS, self._process.key)
        return self._post

    async def _explained(self, error: ProviderError) -> ProviderError:
        """A broken connection is the end of the process: tried again once, then it is the model's fault."""
        if not isinstance(error, (StreamBroken, EndpointUnreachable)) or not await self._process.has_ended():
            return error
        self._crashes += 1
        if self._crashes < 2:
            return error
        self._crashes = 0
        return BadRequest(
            f"The process of {self._process.file} {self._process.why_ended()}",
            hint="It was started twice. Is there memory enough for this model? A smaller one may do.",
        )
