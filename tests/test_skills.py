"""The skills that ship: each SKILL.md has the front matter and the limits that skills/README.md promises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

SKILLS = Path(__file__).resolve().parent.parent / "skills"
FILES = sorted(SKILLS.glob("*/SKILL.md"))
KEYS = {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}


def split(text: str) -> tuple[dict[str, Any], str]:
    """Front matter and body of a SKILL.md; ValueError where it has none."""
    found = re.match(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL)
    if not found:
        raise ValueError("no front matter between two --- lines at the start")
    front = yaml.safe_load(found[1])
    if not isinstance(front, dict):
        raise ValueError("the front matter is not a mapping")
    return front, found[2]


def faults(text: str, folder: str) -> list[str]:
    """What is wrong with a SKILL.md in a folder of that name; empty if nothing is."""
    try:
        front, body = split(text)
    except (ValueError, yaml.YAMLError) as why:
        return [str(why)]
    name, description = front.get("name"), front.get("description")
    found: list[str] = []
    if unknown := set(front) - KEYS:
        found.append(f"unknown keys {sorted(unknown)}")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) or len(name) > 64:
        found.append("name must be 1 to 64 of a-z 0-9 and single hyphens inside")
    elif name != folder:
        found.append(f"name {name!r} is not the folder's name")
    if not isinstance(description, str) or not 1 <= len(description.strip()) <= 1024 or "\n" in description.strip():
        found.append("description must be one paragraph of 1 to 1,024 characters")
    elif not re.search(r"\b(use|when|before|after)\b", description, re.IGNORECASE):
        found.append("description does not say when to use the skill")
    if len(front.get("compatibility") or "") > 500:
        found.append("compatibility is over 500 characters")
    if not body.strip():
        found.append("there is no text")
    if len(body.splitlines()) >= 500:
        found.append("the text is 500 lines or more")
    return found


def test_there_is_a_skill_and_each_folder_is_one() -> None:
    assert FILES
    assert {path.parent for path in FILES} == {path for path in SKILLS.iterdir() if path.is_dir()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_skill_keeps_its_limits(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8"), path.parent.name) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_files_that_a_skill_names_exist(path: Path) -> None:
    named = re.findall(r"\b((?:references|scripts|assets)/[\w./-]*\w)", path.read_text(encoding="utf-8"))
    assert [name for name in named if not (path.parent / name).exists()] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("# no front matter\n", "no front matter"),
        ("---\n- a\n---\ntext\n", "not a mapping"),
        ("---\nname: other\ndescription: Use it.\n---\ntext\n", "folder's name"),
        ("---\nname: -x\ndescription: Use it.\n---\ntext\n", "single hyphens"),
        ("---\nname: x\ndescription: ''\n---\ntext\n", "one paragraph"),
        (f"---\nname: x\ndescription: Use {'a' * 1024}\n---\ntext\n", "one paragraph"),
        ("---\nname: x\ndescription: It is good.\n---\ntext\n", "when to use"),
        ("---\nname: x\ndescription: Use it.\nversion: 1\n---\ntext\n", "unknown keys"),
        ("---\nname: x\ndescription: Use it.\n---\n\n", "no text"),
        ("---\nname: x\ndescription: Use it.\n---\n" + "line\n" * 500, "500 lines"),
    ],
)
def test_faults_are_seen(text: str, fault: str) -> None:
    assert any(fault in found for found in faults(text, "x"))


def test_the_readme_example_is_valid() -> None:
    readme = (SKILLS / "README.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```markdown\n(.*?)```", readme, re.DOTALL)
    assert faults(example, "reviewing-changes") == []
