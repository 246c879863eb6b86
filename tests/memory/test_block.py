"""Labels, places, values, and files that nothing can make unreadable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letta_code.memory.block import (
    Block,
    BlockError,
    Place,
    check_label,
    clean_value,
    given_label,
    path_for,
    project_key,
)
from letta_code.memory.front_matter import formatted, parsed

HERE = Place(project_key="proj-1", conversation_id="conv-1")


@pytest.mark.parametrize("label", ["human", "deploy_notes", "notes/deploy", "a.b-c", "x/y/z"])
def test_good_labels(label: str) -> None:
    check_label(label)


@pytest.mark.parametrize(
    "label", ["", "Human", "a b", "../x", "a//b", "/a", ".hidden", "x/../y", "a" * 200, "é", "a\n"]
)
def test_bad_labels_are_told_with_an_example(label: str) -> None:
    with pytest.raises(BlockError, match="notes/deploy"):
        check_label(label)


@pytest.mark.parametrize("written", ["human", "/memories/human.md", "memory/human", " human ", "human.md"])
def test_labels_as_models_write_them(written: str) -> None:
    assert given_label(written) == "human"


def test_paths_of_scopes() -> None:
    assert path_for("x", "", HERE) == ("system/x.md", "agent", True)
    assert path_for("x", "project", HERE) == ("projects/proj-1/x.md", "project", True)
    assert path_for("x", "conversation", HERE) == ("conversations/conv-1/x.md", "conversation", True)
    assert path_for("x", "shared", HERE) == ("x.md", "shared", True)
    assert path_for("notes/x", "", HERE) == ("notes/x.md", "agent", False)
    assert path_for("notes/x", "agent", HERE) == ("system/notes/x.md", "agent", True)
    for path in ("system/x.md", "projects/proj-1/x.md", "conversations/conv-1/x.md"):
        assert HERE.label_of(path)[0] == "x"
    assert HERE.label_of("projects/other/x.md") == ("projects/other/x", "agent", False)


def test_scopes_that_are_not_here() -> None:
    with pytest.raises(BlockError, match="no project here"):
        path_for("x", "project", Place())
    for reserved in ("system/x", "pending/x", "conversations/other/x", "conflicts/x"):
        with pytest.raises(BlockError, match="reserved"):
            path_for(reserved, "", HERE)


def test_a_project_key_tells_folders_of_one_name_apart() -> None:
    a, b = project_key("/home/a/My App"), project_key("/home/b/My App")
    assert a != b
    assert a.startswith("my-app-")
    assert project_key("/home/a/../a/My App") == a
    check_label(project_key("/"))


def test_clean_values() -> None:
    assert clean_value("\n\n a\r\nb\tc \n\n") == " a\nb\tc "
    assert clean_value("a\u200bb\u202ec\ufeff") == "abc"
    assert clean_value("tag\U000e0041x") == "tagx"
    assert clean_value("\x1b[31mred\x00") == "red"
    family = "👨\u200d👩\u200d👧"
    assert clean_value(family) == family


SAMPLE = Block(label="human", value="- likes tea\n\n  - green", description='"Ann" #1', limit=321, read_only=True)


def test_a_file_says_what_its_block_says() -> None:
    text = formatted(SAMPLE).decode()
    assert text.startswith("---\nlabel: human\n")
    said = parsed(text.encode())
    assert (said.value, said.description, said.limit, said.read_only) == (
        SAMPLE.value,
        SAMPLE.description,
        SAMPLE.limit,
        True,
    )
    assert said.problem == ""


PRINTABLE = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=200)


@given(value=st.text(max_size=400), description=PRINTABLE, limit=st.integers(1, 100_000), locked=st.booleans())
def test_every_block_survives_its_file(value: str, description: str, limit: int, locked: bool) -> None:
    clean = " ".join(clean_value(description).split())
    block = Block(label="x", value=clean_value(value), description=clean, limit=limit, read_only=locked)
    said = parsed(formatted(block))
    assert (said.value, said.description, said.limit, said.read_only) == (block.value, clean, limit, locked)
    assert said.problem == ""


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(data: bytes) -> None:
    parsed(data)
    parsed(b"---\n" + data + b"\n---\ntext")


@given(st.text(st.sampled_from("ab:- \n\t\"'[]{}#|>&*!?%@`,1é"), max_size=80))
def test_any_front_matter_leaves_the_value_readable(head: str) -> None:
    if "---" in head:
        return
    assert parsed(f"---\n{head}\n---\n\nthe value\n".encode()).value == "the value"


def test_front_matter_of_other_programs_is_read_and_kept() -> None:
    data = b"""---
description: >-
  a folded
  text
tags: [a, b]
metadata:
  owner: me
limit: 2_000
read_only: yes
---
text
"""
    said = parsed(data)
    assert (said.description, said.limit, said.read_only, said.problem) == ("a folded text", 2000, True, "")
    assert said.extra == ("tags: [a, b]", "metadata:", "  owner: me")
    again = parsed(formatted(Block(label="x", value=said.value, description=said.description, extra=said.extra)))
    assert again.extra == said.extra


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"---\ndescription: [unclosed\n---\ntext", "YAML"),
        (b"---\nlimit: lots\n---\ntext", "limit"),
        (b"---\nlimit: 99999999999\n---\ntext", "limit"),
        (b"---\nread_only: perhaps\n---\ntext", "read_only"),
        (b"---\nno end", "no end"),
        (b"\xff\xfe text", "UTF-8"),
    ],
)
def test_a_broken_file_is_readable_and_its_problem_is_named(data: bytes, word: str) -> None:
    said = parsed(data)
    assert word in said.problem
    assert "text" in said.value or "no end" in said.value


def test_doubtful_protection_protects() -> None:
    assert parsed(b"---\nread_only: perhaps\n---\n").read_only


def test_a_file_without_front_matter_is_a_block() -> None:
    said = parsed(b"just text\r\nmore")
    assert (said.value, said.limit, said.problem) == ("just text\nmore", 0, "")


def test_broken_yaml_still_gives_the_fields_that_can_be_told() -> None:
    said = parsed(b"---\ndescription: who I am: me\nlimit: 700\nbad: [\n---\ntext")
    assert (said.description, said.limit, said.value) == ("who I am: me", 700, "text")
    assert "YAML" in said.problem
