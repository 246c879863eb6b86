"""What stderr of a headless run says of memory: what a person should see to, once; nothing that is only news."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.headless.test_real import call, letta, model, project  # noqa: F401 - a fixture

STEPS = [{"tools": [call("Bash", command=f"sleep 0.1; echo {n}")]} for n in range(4)]
PATCH = "Why: You like tea.\n*** Begin Patch\n*** Update Block: human\n+likes tea (2026-01-01)\n*** End Patch"


def home() -> Path:
    return Path(os.environ["LETTA_HOME"])


def said(stderr: str, level: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith(f"{level}: ")]


def test_a_broken_block_is_warned_of_once_in_a_run(project: Path) -> None:  # noqa: F811
    assert letta(project, "-p", "go", *model(project, {"text": "Done."})).returncode == 0
    (block,) = home().glob("agents/*/memory/system/human.md")
    block.write_bytes(b"---\nlimit: [broken\n---\n\xff\xfe bad")
    done = letta(project, "-p", "go", "--mode", "full", *model(project, *STEPS, {"text": "Done."}))
    warnings = [line for line in said(done.stderr, "warning") if "Mode full" not in line]
    assert len(warnings) == 1, done.stderr
    assert warnings[0].startswith("warning: system/human.md: the file is not UTF-8")
    assert said(done.stderr, "info") == []
    assert done.stderr.count("the agent was told") == 1
    assert done.stdout == "Done.\n"


def test_a_memory_folder_that_vanishes_is_warned_of_once(project: Path) -> None:  # noqa: F811
    assert letta(project, "-p", "go", *model(project, {"text": "Done."})).returncode == 0
    (folder,) = home().glob("agents/*/memory")
    gone = {"tools": [call("Bash", command=f"rm -rf {folder}; echo gone")]}
    done = letta(project, "-p", "go", "--mode", "full", *model(project, gone, *STEPS, {"text": "Done."}))
    told = [line for line in said(done.stderr, "warning") if f"{folder} was gone" in line]
    assert len(told) == 1, done.stderr  # the settling of memory may have met the same and say so, too
    assert said(done.stderr, "info") == []


@pytest.mark.parametrize("form", ["text", "json", "stream-json"])
def test_a_reflection_that_the_exit_waits_for_is_told_after_the_result(project: Path, form: str) -> None:  # noqa: F811
    home().mkdir(parents=True, exist_ok=True)
    (home() / "config.yaml").write_text("reflection:\n  headless: true\n  every_turns: 1\n")
    aside = {"match": "", "text": PATCH, "delay": 0.3, "pieces": 200}
    script = project.parent / "script.yaml"
    script.write_text(json.dumps({"turns": [{"text": "Done."}], "asides": [aside]}))
    done = letta(project, "-p", "I like tea.", "--output-format", form, "--model", f"scripted:{script}")
    assert [line for line in said(done.stderr, "info") if "eflect" in line], done.stderr
    assert "likes tea" in next(home().glob("agents/*/memory/system/human.md")).read_text()
    last: str | dict[str, Any] = done.stdout.splitlines()[-1]
    assert last == "Done." if form == "text" else json.loads(last)["type"] == "result"
