"""What a tool is: arguments, the operations it wants, and a result for the model and for the person."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from letta_code.core.display import DisplayBlock, TodoItem
from letta_code.core.errors import ToolError
from letta_code.core.events import FileSeen
from letta_code.core.messages import ContentPart, TextPart, Value
from letta_code.core.requests import Answer, Choice
from letta_code.llm.model import ModelInfo, ToolSpec
from letta_code.safety.containment import Grant
from letta_code.safety.operations import Operation
from letta_code.safety.taint import Origin, Taints
from letta_code.safety.vault import Vault
from letta_code.workspace.workspace import Capabilities, Handle, Workspace

if TYPE_CHECKING:
    from letta_code.memory.desk import Desk

A = TypeVar("A", bound=msgspec.Struct)

_NO_CHOICE = re.compile(r"^Invalid enum value .* at `\$([^`]*)`$", re.DOTALL)


class Args(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of a tool's arguments: fields are `Annotated[type, msgspec.Meta(description=…)]`, what the model reads."""


class Wanted(msgspec.Struct, frozen=True):
    """One operation that a tool wants, with the resolved file it is about, if any."""

    operation: Operation
    handle: Handle | None = None


class ToolResult(Value):
    """What came of a call: `content` for the model, `blocks` for the person.

    `files` are file versions the model has now seen or made; `state` is kept with the result and given back on resume
    (`ctx.state`); `load_tools` names deferred tools to bring into the conversation; `todo` replaces the todo list;
    `taint` names where text from outside in it comes from: "" says that there is none, None that it is as the call was
    judged (`ToolContext.origin`).
    """

    content: tuple[ContentPart, ...]
    blocks: tuple[DisplayBlock, ...] = ()
    files: tuple[FileSeen, ...] = ()
    state: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    load_tools: tuple[str, ...] = ()
    todo: tuple[TodoItem, ...] | None = None
    is_error: bool = False
    taint: str | None = None

    @classmethod
    def text(cls, text: str, *blocks: DisplayBlock, **more: Any) -> ToolResult:
        """A result of one text."""
        return cls(content=(TextPart(text=text),), blocks=blocks, **more)


class Concern(Value):
    """Why a person should say yes to a call that the policy allows, and what they are shown."""

    why: str
    blocks: tuple[DisplayBlock, ...] = ()


class FilesSeen(Protocol):
    """Which version of each file the model has seen in this conversation, by real path."""

    def sha_of(self, path: str) -> str | None:
        """SHA-256 (hex) of the version last seen or written, None when never."""
        ...


class ToolContext(Protocol):
    """What a running tool is given."""

    @property
    def call_id(self) -> str:
        """The id of the call."""
        ...

    @property
    def workspace(self) -> Workspace:
        """Files and processes."""
        ...

    @property
    def handles(self) -> Mapping[str, Handle]:
        """The files that were judged, by the path as the model gave it; nothing else may be touched."""
        ...

    @property
    def seen(self) -> FilesSeen:
        """Versions of files that the model knows."""
        ...

    @property
    def vault(self) -> Vault:
        """The secrets of the conversation, and the placeholders that the model sees in their place."""
        ...

    @property
    def state(self) -> Mapping[str, str]:
        """What this tool kept with its last result in this conversation (the shell's `cwd`)."""
        ...

    @property
    def model(self) -> ModelInfo:
        """The model that asked."""
        ...

    @property
    def deferred(self) -> Sequence[ToolSpec]:
        """Tools that exist and were not sent (for tool_search)."""
        ...

    @property
    def memory(self) -> Desk:
        """The agent's memory; raises `ToolError` where there is none."""
        ...

    @property
    def seq(self) -> int:
        """The event that asked for the call."""
        ...

    @property
    def approved(self) -> bool:
        """Whether the concern that the tool raised was said yes to, or nobody is there to be asked."""
        ...

    @property
    def confirmed(self) -> bool:
        """Whether a person said yes to this very call."""
        ...

    @property
    def grant(self) -> Grant:
        """What the policy, or a person's yes, gave this call beyond the sandbox."""
        ...

    @property
    def origin(self) -> Origin:
        """Where the text comes from that the call may bring in."""
        ...

    @property
    def taints(self) -> Taints:
        """What text from outside the conversation holds."""
        ...

    @property
    def context_from(self) -> int:
        """The first event of this conversation that the model still has before it; older ones were evicted."""
        ...

    def output(self, text: str) -> None:
        """Tell the person more of what a running call prints (live, not stored)."""
        ...

    async def ask(self, question: str, choices: tuple[Choice, ...] = (), *, several: bool = False) -> Answer:
        """Ask the person and wait; `Unanswered` where nobody can."""
        ...


class Situation(Value):
    """What decides which tools apply: workspace, model, whether a person can answer, whether there is a memory."""

    capabilities: Capabilities
    model: ModelInfo
    interactive: bool = True
    memory: bool = True


class Tool(Generic[A]):
    """Base of every tool; subclassing registers it.

    `name` is what the model calls; `args` the argument struct; `reads_only` lets calls run together; `edits_files`
    False says that no file changes by what it does, but for memory's own; `deferred` tools are not sent until
    `tool_search` finds them, `deferred_only` is sent only where there are such; `lean` tools are those that small local
    models get; only where `takes_placeholders` may a placeholder of a secret stand in the arguments; `stands_for` says
    what to call instead of a tool that models know from elsewhere.
    The text for the model is `<module>.md` beside the module.
    """

    name: ClassVar[str]
    args: type[A]
    reads_only: ClassVar[bool] = False
    edits_files: ClassVar[bool] = True
    deferred: ClassVar[bool] = False
    deferred_only: ClassVar[bool] = False
    lean: ClassVar[bool] = False
    takes_placeholders: ClassVar[bool] = False
    order: ClassVar[int] = 100  # place in the list sent to the model
    stands_for: ClassVar[Mapping[str, str]] = {}

    registry: ClassVar[dict[str, type[Tool[Any]]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            Tool.registry[cls.name] = cls

    def applies(self, situation: Situation) -> bool:
        """Whether the tool can work here; one that cannot is not sent."""
        return True

    def title(self, args: A) -> str:
        """One line for the person, such as `Edit src/app.py`."""
        return self.name

    async def operations(self, args: A, workspace: Workspace, state: Mapping[str, str]) -> Sequence[Wanted]:
        """The operations that the call wants, paths resolved.  `state` is as `ctx.state`.

        Raises `ToolError` when the arguments cannot mean anything.  Touches nothing.
        """
        raise NotImplementedError

    async def preview(self, args: A, ctx: ToolContext) -> tuple[DisplayBlock, ...]:
        """What a person is shown before saying yes: the real diff or command.  Touches nothing."""
        return ()

    async def concern(self, args: A, ctx: ToolContext) -> Concern | None:
        """Why a person should say yes although the policy allows the call; None when nothing speaks for that.

        Asked only where a person is present and the mode asks at all.  Touches nothing.
        """
        return None

    async def run(self, args: A, ctx: ToolContext) -> ToolResult:
        """Do it.  Raises `ToolError` with a message that tells the model what to do next."""
        raise NotImplementedError

    @cached_property
    def description(self) -> str:
        """The text for the model, from `<module>.md`."""
        module = type(self).__module__.rpartition(".")[2]
        return (Path(__file__).with_name(f"{module}.md")).read_text(encoding="utf-8").strip()

    @cached_property
    def spec(self) -> ToolSpec:
        """Name, description and JSON schema; byte-stable, in the order the fields are written."""
        return ToolSpec(name=self.name, description=self.description, parameters=parameters_of(self.args))

    def parse(self, arguments: str) -> A:
        """The arguments from the model's JSON text.

        Raises `ToolError` that names the schema path, in at most 300 characters.  Never repairs a torn text.
        """
        return parse_arguments(self.args, arguments or "{}")


def parse_arguments(kind: type[A], arguments: str) -> A:
    """Decode and check; the error says what was wrong, where, and what the fields are."""
    try:
        return msgspec.json.decode(arguments.encode("utf-8", "surrogatepass"), type=kind)
    except msgspec.ValidationError as error:
        raise ToolError(
            f"Invalid arguments: {_short(str(error))}. {_choices(kind, str(error)) or _fields(kind)}"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ToolError(
            f"The arguments are not valid JSON ({_short(str(error))}); nothing was run. "
            "Send the whole call again as one JSON object."
        ) from error
    except RecursionError as error:
        raise ToolError("The arguments are nested too deep; nothing was run.") from error


def _short(text: str, limit: int = 140) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _choices(kind: type[msgspec.Struct], error: str) -> str:
    """What may stand where a word was none of the choices; "" for other errors."""
    place = _NO_CHOICE.search(error)
    schema: Any = msgspec.json.decode(parameters_of(kind)) if place else {}
    for name in re.findall(r"\[|[A-Za-z_]\w*", place[1]) if place else ():
        schema = schema["items"] if name == "[" else schema.get("properties", {}).get(name, {})
    return _short(f"`${place[1]}` takes: {', '.join(schema['enum'])}.") if place and "enum" in schema else ""


def _fields(kind: type[msgspec.Struct]) -> str:
    fields = msgspec.structs.fields(kind)
    required = [f.encode_name for f in fields if f.required]
    optional = [f.encode_name for f in fields if not f.required]
    text = f"Required: {', '.join(required) or 'nothing'}"
    return _short(text + (f"; optional: {', '.join(optional)}." if optional else "."), 140)


def parameters_of(kind: type[msgspec.Struct]) -> bytes:
    """The JSON schema of an argument struct: one object, no titles, no references (some providers know none)."""
    (schema,), definitions = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    top = dict(definitions.pop(name)) if name else dict(schema)
    return msgspec.json.encode(_plain(_inlined(top, definitions)))


def _inlined(node: Any, definitions: Mapping[str, Any]) -> Any:
    """The schema with each reference replaced by what it names; argument structs are not recursive."""
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]  # pyright: ignore[reportUnknownVariableType] - JSON
    if not isinstance(node, dict):
        return node
    items: dict[str, Any] = {str(k): v for k, v in node.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON
    if "$ref" in items:
        return _inlined(definitions[str(items["$ref"]).rpartition("/")[2]], definitions)
    if items.get("type") == "object":
        items.pop("description", None)  # the struct's docstring, which is for people
    return {key: _inlined(value, definitions) for key, value in items.items()}


def _plain(node: Any) -> Any:
    """A schema without titles and defaults that say nothing: every character is paid for in each request."""
    if isinstance(node, dict):
        items: dict[str, Any] = {str(k): v for k, v in node.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON
        keep: dict[str, Any] = {}
        for key, value in items.items():
            if key == "title" and isinstance(value, str):
                continue
            if key == "default" and value in (None, "", False, 0, [], (), {}):
                continue
            if key == "anyOf" and isinstance(value, list) and {"type": "null"} in value:
                rest = [v for v in value if v != {"type": "null"}]  # pyright: ignore[reportUnknownVariableType] - JSON
                if len(rest) == 1:  # pyright: ignore[reportUnknownArgumentType] - JSON
                    keep.update(_plain(rest[0]))
                    continue
            keep[key] = _plain(value)
        return keep
    if isinstance(node, list):
        return [_plain(item) for item in node]  # pyright: ignore[reportUnknownVariableType] - JSON
    return node


def load_tools() -> dict[str, Tool[Any]]:
    """Every tool by its name, in the order in which they are sent: the modules here that have a text beside them."""
    for name in _module_names():
        importlib.import_module(f"letta_code.tools.{name}")
    found = sorted(Tool.registry.values(), key=lambda kind: (kind.order, kind.name))
    return {kind.name: kind() for kind in found}


def _module_names() -> Sequence[str]:
    folder = Path(__file__).parent
    return sorted(m.name for m in pkgutil.iter_modules([str(folder)]) if (folder / f"{m.name}.md").exists())
