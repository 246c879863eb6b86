"""What a model is told of the tools: names, schemas and texts, byte-stable and within their budgets.

An addition or a change shows here; accept it with `pytest tests/tools/test_schemas.py --inline-snapshot=fix`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from hashlib import sha256

import msgspec
import pytest
from inline_snapshot import snapshot

from letta_code.llm.model import ModelInfo
from letta_code.llm.tokens import TokenCounter
from letta_code.tools.base import Situation, load_tools
from letta_code.workspace.workspace import Capabilities

TOOLS = load_tools()

# Tokens of text and schema together (o200k_base): every one is paid for in each request.
BUDGETS = {
    "Read": 200,
    "Write": 120,
    "Edit": 220,
    "ApplyPatch": 330,
    "Todo": 160,
    "AskUser": 110,
    "tool_search": 70,
}
MEMORY_BUDGET = 900  # of the six memory tools together, names included
ALL_BUDGET = 2_600
LEAN_BUDGET = 950

MEMORY_TOOLS = (
    "memory",
    "memory_rethink",
    "memory_apply_patch",
    "archival_memory_insert",
    "archival_memory_search",
    "conversation_search",
)

ARGUMENTS = {
    "Read": '{"path":"src/app.py","offset":200}',
    "Write": '{"path":"src/app.py","content":"x"}',
    "Edit": '{"path":"src/app.py","old":"a","new":"b"}',
    "ApplyPatch": '{"patch":"*** Begin Patch\\n*** Delete File: a\\n*** End Patch"}',
    "Bash": '{"command":"npm test"}',
    "Shells": '{"action":"list"}',
    "Grep": '{"pattern":"TODO"}',
    "Git": '{"subcommand":"status"}',
    "Glob": '{"pattern":"**/*.py"}',
    "List": "{}",
    "Todo": '{"items":[{"text":"a","status":"done"},{"text":"b","status":"pending"}]}',
    "AskUser": '{"question":"Which one?"}',
    "memory": '{"command":"str_replace","label":"human","old_string":"a","new_string":"b"}',
    "memory_rethink": '{"label":"human","new_memory":"a"}',
    "memory_apply_patch": '{"patch":"*** Update Block: human\\n+a\\n*** Delete Block: stale"}',
    "archival_memory_insert": '{"content":"The deploy\\nwent well."}',
    "archival_memory_search": '{"query":"deploy"}',
    "conversation_search": '{"query":"deploy"}',
    "tool_search": '{"query":"web"}',
}


@pytest.fixture(scope="module")
def counter() -> TokenCounter:
    found = TokenCounter()
    assert found.load(), "the encoding comes with the litellm wheel"
    return found


def tokens(counter: TokenCounter, name: str) -> int:
    spec = TOOLS[name].spec
    return counter.count(spec.description) + counter.count(spec.parameters.decode())


def sent(family: str, *, lean: bool = False) -> list[str]:
    situation = Situation(capabilities=Capabilities(), model=ModelInfo(name="m", edit_family=family, lean=lean))
    return [name for name, tool in TOOLS.items() if tool.applies(situation) and (tool.lean or not lean)]


def test_names_and_schemas_in_the_order_in_which_they_are_sent():
    assert [(name, msgspec.json.decode(tool.spec.parameters)) for name, tool in TOOLS.items()] == snapshot(
        [
            (
                "Read",
                {
                    "type": "object",
                    "properties": {
                        "path": {"type": "string"},
                        "offset": {"description": "first line", "type": "integer", "minimum": 1, "default": 1},
                        "limit": {"description": "lines", "type": "integer", "minimum": 1, "default": 2000},
                    },
                    "required": ["path"],
                    "additionalProperties": False,
                },
            ),
            (
                "Write",
                {
                    "type": "object",
                    "properties": {
                        "path": {"type": "string"},
                        "content": {"description": "the whole file", "type": "string"},
                    },
                    "required": ["path", "content"],
                    "additionalProperties": False,
                },
            ),
            (
                "ApplyPatch",
                {
                    "type": "object",
                    "properties": {
                        "patch": {"description": "the whole patch with both envelope lines", "type": "string"}
                    },
                    "required": ["patch"],
                    "additionalProperties": False,
                },
            ),
            (
                "Edit",
                {
                    "type": "object",
                    "properties": {
                        "path": {"type": "string"},
                        "old": {"description": "exact text of the file, unique unless replace_all", "type": "string"},
                        "new": {"type": "string"},
                        "replace_all": {"type": "boolean"},
                    },
                    "required": ["path", "old", "new"],
                    "additionalProperties": False,
                },
            ),
            (
                "Bash",
                {
                    "type": "object",
                    "properties": {
                        "command": {"type": "string", "minLength": 1},
                        "timeout": {"description": "seconds", "type": "number"},
                        "background": {"type": "boolean"},
                        "needs": {
                            "description": "what the sandbox does not give; the person is asked",
                            "enum": ["", "network", "outside"],
                        },
                        "keep": {
                            "description": "background only: outlive the session, where allowed",
                            "type": "boolean",
                        },
                    },
                    "required": ["command"],
                    "additionalProperties": False,
                },
            ),
            (
                "Shells",
                {
                    "type": "object",
                    "properties": {
                        "action": {"enum": ["list", "read", "stop"]},
                        "id": {"type": "string"},
                        "wait_seconds": {
                            "description": "read: wait for output or the end, at most 300",
                            "type": "number",
                            "minimum": 0,
                        },
                        "from_start": {"type": "boolean"},
                    },
                    "required": ["action"],
                    "additionalProperties": False,
                },
            ),
            (
                "Grep",
                {
                    "type": "object",
                    "properties": {
                        "pattern": {"type": "string", "minLength": 1},
                        "path": {"type": "string", "default": "."},
                        "glob": {
                            "description": "files to search: *.py, src/**/*.{ts,tsx}, !*.min.js",
                            "type": "string",
                        },
                        "show": {"enum": ["counts", "files", "lines"], "default": "lines"},
                        "context": {
                            "description": "lines around a match",
                            "type": "integer",
                            "minimum": 0,
                            "maximum": 50,
                        },
                        "ignore_case": {"type": "boolean"},
                        "literal": {"type": "boolean"},
                        "multiline": {"type": "boolean"},
                        "ignored": {"description": "also search files that git ignores", "type": "boolean"},
                        "limit": {"description": "lines", "type": "integer", "minimum": 1, "default": 200},
                    },
                    "required": ["pattern"],
                    "additionalProperties": False,
                },
            ),
            (
                "Git",
                {
                    "type": "object",
                    "properties": {
                        "subcommand": {
                            "enum": [
                                "add",
                                "blame",
                                "branch",
                                "commit",
                                "diff",
                                "log",
                                "restore",
                                "show",
                                "stash",
                                "status",
                            ]
                        },
                        "args": {
                            "description": "options and revisions, a word each",
                            "type": "array",
                            "items": {"type": "string"},
                        },
                        "paths": {"type": "array", "items": {"type": "string"}},
                        "message": {"description": "commit or stash message", "type": "string"},
                    },
                    "required": ["subcommand"],
                    "additionalProperties": False,
                },
            ),
            (
                "Glob",
                {
                    "type": "object",
                    "properties": {
                        "pattern": {"type": "string", "minLength": 1},
                        "path": {"type": "string", "default": "."},
                        "ignored": {"description": "also files that git ignores", "type": "boolean"},
                    },
                    "required": ["pattern"],
                    "additionalProperties": False,
                },
            ),
            (
                "memory",
                {
                    "type": "object",
                    "properties": {
                        "command": {
                            "enum": ["create", "delete", "describe", "insert", "rename", "str_replace", "view"]
                        },
                        "label": {"type": "string"},
                        "value": {"type": "string"},
                        "description": {"type": "string"},
                        "scope": {"enum": ["agent", "conversation", "project", "shared"]},
                        "limit": {"description": "characters", "type": "integer"},
                        "old_string": {"type": "string"},
                        "new_string": {"type": "string"},
                        "insert_line": {"type": "integer", "default": -1},
                        "insert_text": {"type": "string"},
                        "new_label": {"type": "string"},
                    },
                    "required": ["command"],
                    "additionalProperties": False,
                },
            ),
            (
                "memory_rethink",
                {
                    "type": "object",
                    "properties": {"label": {"type": "string"}, "new_memory": {"type": "string"}},
                    "required": ["label", "new_memory"],
                    "additionalProperties": False,
                },
            ),
            (
                "memory_apply_patch",
                {
                    "type": "object",
                    "properties": {"patch": {"type": "string"}},
                    "required": ["patch"],
                    "additionalProperties": False,
                },
            ),
            (
                "archival_memory_insert",
                {
                    "type": "object",
                    "properties": {
                        "content": {"type": "string"},
                        "tags": {"type": "array", "items": {"type": "string"}},
                    },
                    "required": ["content"],
                    "additionalProperties": False,
                },
            ),
            (
                "archival_memory_search",
                {
                    "type": "object",
                    "properties": {
                        "query": {"type": "string"},
                        "tags": {"type": "array", "items": {"type": "string"}},
                        "tag_match_mode": {"enum": ["all", "any"], "default": "any"},
                        "start_datetime": {"type": "string"},
                        "end_datetime": {"type": "string"},
                        "top_k": {"type": "integer", "minimum": 1, "default": 10},
                    },
                    "required": [],
                    "additionalProperties": False,
                },
            ),
            (
                "conversation_search",
                {
                    "type": "object",
                    "properties": {
                        "query": {"type": "string"},
                        "roles": {"type": "array", "items": {"enum": ["assistant", "tool", "user"]}},
                        "conversations": {"description": "ids, or this", "type": "array", "items": {"type": "string"}},
                        "start_date": {"type": "string"},
                        "end_date": {"type": "string"},
                        "limit": {"type": "integer", "minimum": 1, "default": 10},
                    },
                    "required": [],
                    "additionalProperties": False,
                },
            ),
            (
                "List",
                {
                    "type": "object",
                    "properties": {"path": {"type": "string", "default": "."}},
                    "required": [],
                    "additionalProperties": False,
                },
            ),
            (
                "Todo",
                {
                    "type": "object",
                    "properties": {
                        "items": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "properties": {
                                    "text": {"type": "string"},
                                    "status": {"enum": ["done", "in_progress", "pending"]},
                                },
                                "required": ["text", "status"],
                                "additionalProperties": False,
                            },
                            "maxItems": 50,
                        }
                    },
                    "required": ["items"],
                    "additionalProperties": False,
                },
            ),
            (
                "AskUser",
                {
                    "type": "object",
                    "properties": {
                        "question": {"type": "string", "maxLength": 4000, "minLength": 1},
                        "choices": {"type": "array", "items": {"type": "string"}, "maxItems": 10},
                        "several": {"description": "more than one may be chosen", "type": "boolean"},
                    },
                    "required": ["question"],
                    "additionalProperties": False,
                },
            ),
            (
                "tool_search",
                {
                    "type": "object",
                    "properties": {
                        "query": {
                            "description": "what it should do, or its name",
                            "type": "string",
                            "maxLength": 200,
                            "minLength": 1,
                        }
                    },
                    "required": ["query"],
                    "additionalProperties": False,
                },
            ),
        ]
    )


def test_titles():
    assert {name: TOOLS[name].title(TOOLS[name].parse(text)) for name, text in ARGUMENTS.items()} == snapshot(
        {
            "Read": "Read src/app.py from line 200",
            "Write": "Write src/app.py",
            "Edit": "Edit src/app.py",
            "ApplyPatch": "Patch a",
            "Bash": "$ npm test",
            "Shells": "Background shells",
            "Grep": "Grep 'TODO'",
            "Git": "git status",
            "Glob": "Glob **/*.py",
            "List": "List .",
            "Todo": "Todo 1/2",
            "AskUser": "Ask: Which one?",
            "memory": "Memory: str_replace human",
            "memory_rethink": "Memory: rewrite human",
            "memory_apply_patch": "Memory: patch human, stale",
            "archival_memory_insert": "Archive: The deploy went well.",
            "archival_memory_search": "Search archive: deploy",
            "conversation_search": "Search conversations: deploy",
            "tool_search": "Search tools: web",
        }
    )


def test_every_tool_has_sample_arguments_here():
    assert set(ARGUMENTS) == set(TOOLS)


@pytest.mark.parametrize("name", BUDGETS)
def test_each_tool_keeps_its_budget(counter: TokenCounter, name: str):
    assert tokens(counter, name) <= BUDGETS[name]


@pytest.mark.parametrize("family", ["edit", "apply_patch"])
def test_all_tools_keep_theirs(counter: TokenCounter, family: str):
    assert sum(tokens(counter, name) for name in sent(family)) <= ALL_BUDGET


def test_the_memory_tools_together_keep_theirs(counter: TokenCounter):
    for encoding in ("o200k_base", "cl100k_base"):
        counter.use(encoding)
        assert counter.load()
        whole = [
            {
                "name": name,
                "description": TOOLS[name].description,
                "parameters": msgspec.Raw(TOOLS[name].spec.parameters),
            }
            for name in MEMORY_TOOLS
        ]
        assert sum(counter.count(msgspec.json.encode(one).decode()) for one in whole) <= MEMORY_BUDGET


def test_without_a_memory_no_memory_tool_is_sent():
    here = Situation(capabilities=Capabilities(), model=ModelInfo(name="m"))
    nowhere = Situation(capabilities=Capabilities(), model=ModelInfo(name="m"), memory=False)
    assert {n for n, t in TOOLS.items() if t.applies(here) and not t.applies(nowhere)} == set(MEMORY_TOOLS)


def test_one_edit_family_is_sent():
    assert "Edit" in sent("edit")
    assert "ApplyPatch" not in sent("edit")
    assert "ApplyPatch" in sent("apply_patch")
    assert "Edit" not in sent("apply_patch")


def test_small_local_models_get_five_tools(counter: TokenCounter):
    names = sent("edit", lean=True)
    assert sorted(names) == ["Bash", "Edit", "Read", "Write", "memory"]
    assert sum(tokens(counter, name) for name in names) <= LEAN_BUDGET


@pytest.mark.parametrize("name", list(TOOLS))
def test_texts_are_plain(name: str):
    text = TOOLS[name].description
    assert text
    assert text == text.strip()
    assert not re.search(r"\b(IMPORTANT|MUST|NEVER|ALWAYS|CRITICAL|WARNING)\b", text), "texts do not shout"
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name), "what every provider takes as a name"


PRINT = """
from hashlib import sha256
from letta_code.tools.base import load_tools
for tool in load_tools().values():
    spec = tool.spec
    print(spec.name, sha256(spec.description.encode() + spec.parameters).hexdigest())
"""


def test_the_bytes_are_the_same_in_another_process():
    printed = [
        subprocess.run(
            [sys.executable, "-c", PRINT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    here = "".join(
        f"{tool.spec.name} {sha256(tool.spec.description.encode() + tool.spec.parameters).hexdigest()}\n"
        for tool in TOOLS.values()
    )
    assert printed == [here, here]
