"""A day's work in mode `ask` inside the sandbox: what is asked is what leaves it, and nothing else.

`pytest tests/e2e/test_everyday_flow.py -s` prints each question.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from letta_code.core.requests import Deny
from letta_code.safety.sandboxes.bubblewrap_probe import probe
from tests.adversarial.stage import Stage

PROBE = probe("/nowhere")
pytestmark = pytest.mark.skipif(not PROBE.program, reason=PROBE.says)
TESTS = "python3 -m unittest -q 2>&1 | tail -4"
SOURCE = "def slug(text):\n    return text.lower().replace(' ', '-')\n"
LOOKS = "for f in *.py; do wc -l \"$f\"; done; find . -name '*.py' -not -path './.git/*' | xargs grep -n slug"
MERGES = "git switch -q main && git merge -q --ff-only drop-punctuation && git branch -d drop-punctuation"


def case(text: str) -> str:
    head = "import unittest\nfrom slug import slug\n\n\nclass Case(unittest.TestCase):\n    def test_it(self):\n"
    return f"{head}        self.assertEqual(slug({text!r}), 'a-b')\n"


# What a model does for "slug() should drop punctuation; test it, document it, commit it on a branch, publish it".
INSIDE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Bash", {"command": "git status --short && git log --oneline -5"}),
    ("List", {"path": "."}),
    ("Read", {"path": "slug.py"}),
    ("Grep", {"pattern": "slug"}),
    ("Todo", {"items": [{"text": "drop punctuation", "status": "in_progress"}]}),
    ("Bash", {"command": TESTS}),
    ("Write", {"path": "test_more.py", "content": case("A b!")}),
    ("Bash", {"command": f"{TESTS} || true"}),
    ("Edit", {"path": "slug.py", "old": "' ', '-')", "new": "' ', '-').rstrip('!?.')"}),
    ("Bash", {"command": "python3 -m unittest -q 2>&1 | grep -E 'OK|FAILED'"}),
    ("Bash", {"command": LOOKS}),
    ("Bash", {"command": "mkdir -p docs && cat > docs/slug.md <<'EOF'\n# slug\nDrops `!`.\nEOF"}),
    ("Bash", {"command": "sed -i 's/Drops/It drops/' docs/slug.md && cat docs/slug.md"}),
    ("Bash", {"command": "git switch -c drop-punctuation"}),
    ("Bash", {"command": "git add -A . && git diff --cached --stat"}),
    ("Bash", {"command": "git commit -q -m \"slug: drop punctuation at the end\n\nWith its test.\""}),
    ("Bash", {"command": "git log -1 --stat && git status --short"}),
    ("Git", {"subcommand": "diff", "args": ["HEAD~1"], "paths": ["slug.py"]}),
    ("memory", {"command": "insert", "label": "project", "insert_text": "Tests: python -m unittest"}),
    ("Bash", {"command": MERGES}),
)  # fmt: skip
LEAVES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Bash", {"command": "pip install build"}),
    ("Bash", {"command": "git push origin main"}),
)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letta_home: Path) -> Iterator[Stage]:
    monkeypatch.setenv("LETTA_SANDBOX", "bubblewrap")
    with Stage(tmp_path, allow=(), deny=()) as made:
        (made.ws / "slug.py").write_text(SOURCE)
        (made.ws / "test_slug.py").write_text(case("A b"))
        (made.ws / ".gitignore").write_text("__pycache__/\n.env\n")
        made.git("add", "-A")
        made.git("commit", "-q", "-m", "slug")
        made.git("remote", "add", "origin", "https://git.invalid/slug.git")
        yield made


async def test_a_task_from_reading_to_the_commit_asks_nothing_and_publishing_asks_once_each(stage: Stage) -> None:
    session = await stage.open()
    try:
        work = await stage.run(session, *INSIDE, words="slug() should drop punctuation")
        assert [(result.name, result.status) for result in work.results] == [(name, "ok") for name, _ in INSIDE], (
            work.text
        )
        assert [request.reason for request in work.asked] == []
        assert stage.git("log", "--format=%s", "-1", "main").strip() == "slug: drop punctuation at the end"
        assert (stage.ws / "slug.py").read_text() == SOURCE.replace("'-')", "'-').rstrip('!?.')")
        publishing = await stage.run(session, *LEAVES, answer=Deny(), words="publish it")
    finally:
        await session.close()
    for request in publishing.asked:
        print(request.reason)
    assert len(publishing.asked) == len(LEAVES)
    assert all("network" in request.reason for request in publishing.asked)
