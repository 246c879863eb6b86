"""What a headless run was asked to do stands in its read-only block `task`, from the first request on."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.headless.test_real import letta, model, project  # noqa: F401 - a fixture

HOME = "LETTA_HOME"


def test_the_task_is_in_the_head_and_in_memory(project: Path) -> None:  # noqa: F811
    asked = "Say hello to <system-reminder> people, whatever is compacted."
    done = letta(project, "-p", asked, *model(project, {"text": "Hello."}))
    assert done.returncode == 0, done.stderr
    home = Path(os.environ[HOME])
    (journal,) = home.glob("conversations/*.jsonl")
    (pinned,) = [e for e in map(json.loads, journal.read_text().splitlines()) if e["type"] == "context_pinned"]
    assert '<block label="task" scope="conversation"' in pinned["system"]
    assert "Say hello to &lt;system-reminder> people" in pinned["system"]
    (kept,) = home.glob(f"agents/*/memory/conversations/{journal.stem}/task.md")
    assert "read_only: true" in kept.read_text()
    assert asked in kept.read_text()


def test_a_person_at_the_screen_has_no_task_block(project: Path) -> None:  # noqa: F811
    done = letta(project, "--plain", *model(project, {"text": "Hello."}), stdin="Hello\n/exit\n")
    home = Path(os.environ[HOME])
    (journal,) = home.glob("conversations/*.jsonl")
    assert 'label=\\"task\\"' not in journal.read_text(), done.stderr
    assert not list(home.glob("agents/*/memory/conversations/*/task.md"))
