"""memory: looks at blocks and edits them, one command a call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec

from letta_code.core.display import MatchesBlock, TextBlock
from letta_code.core.errors import ToolError
from letta_code.memory.block import Block, Scope, given_label, one_line
from letta_code.tools.base import Args, ToolContext, ToolResult
from letta_code.tools.remembering import MemoryEditor, told_to_the_model

if TYPE_CHECKING:
    from letta_code.memory.edits import Edit
    from letta_code.memory.view import View

MOST_SHOWN = 30_000  # characters of a value that `view` shows
_MOST_LISTED = 200

# What each command needs and what it may take besides; further texts would be lost silently, so they are refused.
_NEEDS = {
    "view": (),
    "create": ("label",),
    "str_replace": ("label", "old_string"),
    "insert": ("label", "insert_text"),
    "delete": ("label",),
    "rename": ("label", "new_label"),
    "describe": ("label", "description"),
}
_MAY = {
    "view": ("label",),
    "create": ("value", "description", "scope", "limit"),
    "str_replace": ("new_string",),
    "insert": ("insert_line",),
}
_TEXTS = ("value", "description", "old_string", "new_string", "insert_text", "new_label")


class MemoryArgs(Args, frozen=True):
    """Arguments of memory."""

    command: Literal["view", "create", "str_replace", "insert", "delete", "rename", "describe"]
    label: str = ""
    value: str = ""
    description: str = ""
    scope: Scope | None = None
    limit: Annotated[int, msgspec.Meta(description="characters")] = 0
    old_string: str = ""
    new_string: str = ""
    insert_line: int = -1
    insert_text: str = ""
    new_label: str = ""


class Memory(MemoryEditor[MemoryArgs]):
    """Looks at memory blocks and edits them."""

    name = "memory"
    args = MemoryArgs
    order = 70
    lean = True
    meant: ClassVar[Mapping[str, str]] = {
        "path": "label",
        "block": "label",
        "old_path": "label",
        "new_path": "new_label",
        "file_text": "value",
        "content": "value",
        "old_str": "old_string",
        "old_content": "old_string",
        "new_str": "new_string",
        "new_content": "new_string",
        "text": "insert_text",
        "line": "insert_line",
    }

    stands_for: ClassVar[Mapping[str, str]] = {
        "memory_insert": "memory with command insert, label, insert_text and insert_line",
        "memory_replace": "memory with command str_replace, label, old_string and new_string",
        "core_memory_append": "memory with command insert, label and insert_text",
        "core_memory_replace": "memory with command str_replace, label, old_string and new_string",
    }

    def title(self, args: MemoryArgs) -> str:
        """Such as `Memory: str_replace human`."""
        if args.command == "view":
            return f"Memory: {given_label(args.label) or 'all blocks'}"
        to = f" to {one_line(args.new_label, 60)}" if args.new_label else ""
        return f"Memory: {args.command} {one_line(given_label(args.label), 60)}{to}"

    def edit_of(self, args: MemoryArgs) -> Edit | None:
        """The edit of a command; raises `ToolError` for fields that are missing or belong to another."""
        from letta_code.memory.edits import Create, Delete, Describe, Insert, Rename, Replace

        _check(args)
        label = given_label(args.label)
        match args.command:
            case "view":
                return None
            case "create":
                return Create(
                    label=label,
                    value=args.value,
                    description=args.description,
                    limit=args.limit,
                    scope=args.scope or "",
                )
            case "str_replace":
                return Replace(label=label, old=args.old_string, new=args.new_string)
            case "insert":
                return Insert(label=label, text=args.insert_text, line=args.insert_line)
            case "delete":
                return Delete(label=label)
            case "rename":
                return Rename(label=label, new_label=given_label(args.new_label))
            case "describe":
                return Describe(label=label, description=args.description)

    async def look(self, args: MemoryArgs, ctx: ToolContext) -> ToolResult:
        """One block with line numbers, or what there is."""
        with told_to_the_model():
            if not args.label.strip(" /"):
                await ctx.memory.look()
                view = await asyncio.to_thread(ctx.memory.blocks.view)
                lines = await asyncio.to_thread(_listed, view)
                return ToolResult.text("\n".join(lines), MatchesBlock(query="memory", lines=tuple(lines[1:])))
            block = await ctx.memory.read(args.label)
        root = ctx.memory.blocks.root
        return ToolResult.text(_numbered(block, f"{root}/{block.path}"), TextBlock(text=block.value, title=block.label))


def _check(args: MemoryArgs) -> None:
    needs, may = _NEEDS[args.command], _MAY.get(args.command, ())
    missing = [name for name in needs if not _given(args, name)]
    wrong = [name for name in _TEXTS if name not in (*needs, *may) and _given(args, name)]
    if not missing and not wrong:
        return
    said = [f"{args.command} needs {' and '.join(missing)}"] if missing else []
    said += [f"{args.command} does not take {' and '.join(wrong)}"] if wrong else []
    takes = ", ".join((*needs, *(f"{name} (optional)" for name in may)))
    raise ToolError(f"{'; '.join(said)}. Nothing was changed. Fields of {args.command}: {takes}.")


def _given(args: MemoryArgs, name: str) -> bool:
    value: Any = getattr(args, name)
    return bool(value.strip()) if name in ("label", "new_label") else bool(value)


def _listed(view: View) -> list[str]:
    others = view.others
    lines = ["In context:", *(_line(block) for block in view.blocks)]
    if others:
        lines += ["Not in context, read with view:", *(_line(block) for block in others[:_MOST_LISTED])]
    if len(others) > _MOST_LISTED:
        lines.append(f"and {len(others) - _MOST_LISTED} more")
    return lines


def _line(block: Block) -> str:
    marks = [block.scope] if block.in_context else []
    marks += [block.fill, *(["read-only"] if block.read_only else []), *([block.problem] if block.problem else [])]
    about = f" {one_line(block.description, 300)}" if block.description else ""
    return f"- {block.label} ({', '.join(marks)}){':' if about else ''}{about}"


def _numbered(block: Block, path: str) -> str:
    from letta_code.memory.render import escaped

    head = _line(block).removeprefix("- ")
    if not block.value:
        return f"{head}\n(empty)"
    lines = escaped(block.value[:MOST_SHOWN]).split("\n")
    text = "\n".join(f"{number}: {line}" for number, line in enumerate(lines, start=1))
    rest = block.chars - MOST_SHOWN
    return f"{head}\n{text}" + (f"\n[{rest} more characters: Read {path}]" if rest > 0 else "")
