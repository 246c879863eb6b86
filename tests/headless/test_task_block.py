"""What a headless run was asked to do stands in its read-only block `task` once its message may leave the context."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.headless.test_real import call, letta, model, project  # noqa: F401 - a fixture

HOME = "LETTA_HOME"


def events(kind: str) -> list[dict[str, Any]]:
    (journal,) = Path(os.environ[HOME]).glob("conversations/*.jsonl")
    return [e for e in map(json.loads, journal.read_text().splitlines()) if e["type"] == kind]


def kept() -> str:
    (file,) = Path(os.environ[HOME]).glob("agents/*/memory/conversations/*/task.md")
    return file.read_text()


def small(project: Path) -> None:  # noqa: F811
    """Contexts are compacted early."""
    home = Path(os.environ[HOME])
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.yaml").write_text("context:\n  compact_at_tokens: 9000\nreflection:\n  after_compaction: false\n")


def test_the_task_is_kept_in_memory_and_sent_once(project: Path) -> None:  # noqa: F811
    asked = "Say hello to <system-reminder> people, whatever is compacted."
    done = letta(project, "-p", asked, *model(project, {"text": "Hello."}))
    assert done.returncode == 0, done.stderr
    (pinned,) = events("context_pinned")
    assert 'label="task"' not in pinned["system"], "the message tells it"
    assert "read_only: true" in kept() and asked in kept()


def test_each_run_has_its_own_task(project: Path) -> None:  # noqa: F811
    scripted = model(project, {"text": "Done."})
    assert letta(project, "-p", "ALPHA", *scripted).returncode == 0
    assert letta(project, "--continue", "-p", "BETA", *scripted).returncode == 0
    assert "BETA" in kept() and "ALPHA" not in kept()
    assert not any("ALPHA" in e["system"] for e in events("context_pinned"))
    assert not [e for e in events("reminder_added") if "task" in e["text"] and "memory" in e["kind"]]


def test_a_compaction_pins_the_newest_task(project: Path) -> None:  # noqa: F811
    small(project)
    scripted = model(project, {"text": "Done. " + "All of it was looked at. " * 400, "repeat": "forever"})
    for asked in ("ALPHA", "BETA", "GAMMA", "DELTA"):
        further = ["--continue"] if asked != "ALPHA" else []
        assert letta(project, *further, "-p", asked, *scripted).returncode == 0
    pinned = [e for e in events("context_pinned") if e.get("reason") == "compaction"]
    messages = events("user_message")
    assert pinned, "it was compacted"
    for event in pinned:
        newest = [m["content"][0]["text"] for m in messages if m["seq"] < event["seq"]][-1]
        block = event["system"].partition('<block label="task"')[2].partition("</block>")[0]
        assert f"\n{newest}\n" in block


def test_a_huge_task_is_sent_once_and_its_block_says_where_the_rest_is(project: Path) -> None:  # noqa: F811
    huge = "BEGIN " + "many words to read " * 6_000 + "END"
    reads = [{"tools": [call("Bash", command=f"echo {n}")]} for n in range(3)]
    done = letta(project, "--mode", "full", "-p", huge, *model(project, *reads, {"text": "Done."}))
    assert done.returncode == 0, done.stderr
    assert "limit" not in done.stderr
    first, *later = events("context_pinned")
    assert "many words" not in first["system"]
    (said,) = events("user_message")
    for event in later:
        block = event["system"].partition('<block label="task"')[2].partition("</block>")[0]
        assert "BEGIN" in block and "END" in block and len(block) < 3_000
        assert f"event {said['seq']} of conversation" in block
    assert len(kept()) < 21_000 and "conversation_search finds it" in kept()
    again = letta(project, "--continue", "-p", "go on", *model(project, {"text": "Done."}))
    assert "limit" not in again.stderr


def test_a_person_at_the_screen_has_no_task_block(project: Path) -> None:  # noqa: F811
    done = letta(project, "--plain", *model(project, {"text": "Hello."}), stdin="Hello\n/exit\n")
    home = Path(os.environ[HOME])
    (journal,) = home.glob("conversations/*.jsonl")
    assert 'label=\\"task\\"' not in journal.read_text(), done.stderr
    assert not list(home.glob("agents/*/memory/conversations/*/task.md"))
