"""Three-way merge: both edits stand, or the clash is told; git is the judge where it says the merge is clean."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from letta_code.memory.merge import merged

LINES = st.lists(st.sampled_from(["a", "b", "c", "d", "e", ""]), max_size=8)


def join(lines: list[str]) -> str:
    return "\n".join(lines)


def test_edits_of_different_lines_both_stand() -> None:
    result = merged("a\nb\nc\nd\ne", "A\nb\nc\nd\ne", "a\nb\nc\nd\nE")
    assert (result.text, result.conflicts) == ("A\nb\nc\nd\nE", 0)


def test_neighbouring_items_of_a_list_are_no_conflict() -> None:
    result = merged("- tea\n- milk", "- green tea\n- milk", "- tea\n- oat milk")
    assert (result.text, result.conflicts) == ("- green tea\n- oat milk", 0)


def test_additions_at_one_place_are_all_kept_once() -> None:
    result = merged("a", "a\nb\nsame", "a\nsame\nc")
    assert result.conflicts == 0
    assert sorted(result.text.split("\n")) == ["a", "b", "c", "same"]


def test_the_same_line_changed_twice_is_a_conflict_and_ours_stands() -> None:
    result = merged("a\nb", "a\nours", "a\ntheirs")
    assert (result.text, result.conflicts) == ("a\nours", 1)


def test_a_line_removed_here_and_changed_there_is_a_conflict() -> None:
    assert merged("a\nb\nc", "a\nc", "a\nB\nc").conflicts == 1


@given(LINES, LINES)
def test_one_sided_edits_win(base: list[str], new: list[str]) -> None:
    assert merged(join(base), join(new), join(base)).text == join(new)
    assert merged(join(base), join(base), join(new)).text == join(new)
    assert merged(join(base), join(new), join(new)).text == join(new)


@given(LINES, LINES, LINES)
def test_nothing_that_either_side_added_is_lost_without_a_conflict(b: list[str], o: list[str], t: list[str]) -> None:
    result = merged(join(b), join(o), join(t))
    kept = result.text.split("\n")
    if not result.conflicts:
        added = (set(o) | set(t)) - set(b) - {""}
        assert added <= set(kept)


@settings(max_examples=60, deadline=None)
@given(b=st.permutations([f"line {n}" for n in range(9)]), mine=st.integers(0, 3), theirs=st.integers(5, 8))
def test_as_git_merges_edits_that_are_apart(b: list[str], mine: int, theirs: int) -> None:
    ours, other = list(b), list(b)
    ours[mine] = "mine"
    other[theirs : theirs + 1] = ["theirs 1", "theirs 2"]
    names = {"base": b, "ours": ours, "theirs": other}
    with tempfile.TemporaryDirectory() as made:
        for name, lines in names.items():
            (Path(made) / name).write_text(join(lines) + "\n")
        done = subprocess.run(
            ["git", "merge-file", "-p", "ours", "base", "theirs"], cwd=made, capture_output=True, text=True, check=False
        )
    result = merged(join(b), join(ours), join(other))
    assert done.returncode == 0
    assert (result.text + "\n", result.conflicts) == (done.stdout, 0)


def test_lines_added_beside_a_removed_one_are_no_conflict() -> None:
    assert merged("a\nbad", "a\nbad\nnew", "a") == merged("a\nbad", "a", "a\nbad\nnew")
    assert merged("a\nbad", "a\nbad\nnew", "a").text == "a\nnew"
    assert merged("bad\nz", "new\nbad\nz", "BAD\nz").text == "new\nBAD\nz"
