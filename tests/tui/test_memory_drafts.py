"""Memory drafts: every text gets a file of its own."""

from __future__ import annotations

from pathlib import Path

from letta_code.memory.block import Block
from letta_code.tui.memory_drafts import keep
from letta_code.tui.widgets.memory_editor import Draft


def draft(label: str, scope: str, text: str) -> Draft:
    return Draft(block=Block(label=label, scope=scope), text=text, base="")  # type: ignore[arg-type]  # a plain word


def test_blocks_of_nearly_the_same_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    drafts = [draft("team", "agent", "own"), draft("team", "shared", "ours"), draft("a/b", "agent", "slash")]
    drafts.append(draft("a_b", "agent", "line"))
    for _ in range(2):  # a second program within the same second, perhaps
        kept = keep(drafts, tmp_path / "prompts")
        assert [path.read_text(encoding="utf-8") for path in kept] == ["own", "ours", "slash", "line"]
        assert len(set(kept)) == 4 and {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    assert len(list((tmp_path / "prompts").iterdir())) == 8


def test_what_cannot_be_written_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "prompts").write_text("a file stands where the folder would be")
    assert keep([draft("team", "agent", "own")], tmp_path / "prompts") == []
