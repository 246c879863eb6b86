"""What the first request of an empty agent holds, in tokens: instructions, each tool, facts; taken from the wire."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _measure import LETTA, Table, clean_environment, endpoint_home, model_server, run

PROMPT = "Hello."
OF_MEMORY = (
    *(" memory", " memory_rethink", " memory_apply_patch"),
    *(" archival_memory_insert", " archival_memory_search", " conversation_search"),
)


def main() -> int:
    """Print the table; 0 when every gate held."""
    with tempfile.TemporaryDirectory(prefix="letta-bench-") as scratch:
        folder = Path(scratch)
        plain, git = folder / "plain", folder / "git"
        plain.mkdir()
        (git / ".git").mkdir(parents=True)
        (git / ".git" / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
        with model_server([{"text": "done", "repeat": 10}], folder / "server") as server:
            endpoint_home(folder / "home", server.url)
            for project in (git, plain):
                done = run([LETTA, "-p", PROMPT], clean_environment(folder / "home"), project)
                if done.code != 0:
                    raise SystemExit(f"letta-code failed with {done.code}:\n{done.output}")
            bodies = [json.loads(Path(one["body"]).read_bytes()) for one in server.requests()]
    table = Table("the first request of an empty agent, in tokens (cl100k_base)")
    _told(table, bodies[0])
    table.line("the same outside of a git repository", str(sum(parts_of(bodies[1]).values())))
    return table.code


def _told(table: Table, body: dict[str, Any]) -> None:
    parts = parts_of(body)
    tools = {name: count for name, count in parts.items() if name.startswith("tool ")}
    for name, count in parts.items():
        gate, good = ("at most 1,200", count <= 1200) if name == "instructions" else ("", None)
        table.line(name, str(count), gate, good)
    remembering = sum(count for name, count in tools.items() if name.endswith(OF_MEMORY))
    table.line("tools of memory", str(remembering), "at most 900", 0 < remembering <= 900)
    in_tools, total = sum(tools.values()), sum(parts.values())
    table.line(f"all {len(tools)} tools", str(in_tools), "at most 2,600", in_tools <= 2600)
    table.line("all", str(total), "at most 6,000", total <= 6000)


def parts_of(body: dict[str, Any]) -> dict[str, int]:
    """Tokens of each part of a chat-completions body, in its order."""
    count = _counter()
    parts: dict[str, int] = {}
    for message in body["messages"]:
        text = message["content"] if isinstance(message["content"], str) else json.dumps(message["content"])
        if message["role"] == "system":
            before, opening, memory = text.rpartition("\n\n<memory>\n")
            named = {"instructions": before, "memory": opening + memory} if opening else {"instructions": text}
        else:
            named = {"the prompt" if text == PROMPT else "facts": text}
        for name, piece in named.items():
            parts[name] = parts.get(name, 0) + count(piece)
    for tool in body["tools"]:
        text = json.dumps(tool["function"], ensure_ascii=False, separators=(",", ":"))
        parts[f"tool {tool['function']['name']}"] = count(text)
    return parts


def _counter() -> Any:
    from letta_code.llm.tokens import TokenCounter

    counter = TokenCounter()
    if not counter.load():
        print("the vocabulary could not be loaded: counts are characters / 4", file=sys.stderr)
    return counter.count


if __name__ == "__main__":
    sys.exit(main())
