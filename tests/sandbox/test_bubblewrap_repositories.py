"""Bubblewrap: what nested repositories name and hold does not reach the tree's own one, nor the person's git."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from letta_code.safety.sandboxes import guards
from letta_code.safety.sandboxes.environment import for_git
from tests.sandbox.ground import GIT, Ground, works

pytestmark = works
PROGRAM = "printf '#!/bin/sh\\necho ran >> {at}/ran; rm -f {at}/.git/HEAD; cat\\n' > evil.sh && chmod +x evil.sh"
NESTED = "git init -q n && echo x > n/a && printf '[{key}{name}]\\n {variable} = {at}/evil.sh\\n' >> n/.git/config"


def git(folder: Path, *words: str) -> str:
    """What git says, as the person."""
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


async def plant(ground: Ground, attributes: str, key: str, variable: str) -> None:
    """A command makes `n`, whose configuration names a program that takes away the head of the tree's repository."""
    name = ' "x"' if attributes else ""
    text = f"{PROGRAM} && {NESTED} && printf '{attributes}' > n/.gitattributes"
    said = await ground.said(text.format(at=ground.root, key=key, name=name, variable=variable))
    assert said == ""


@pytest.mark.parametrize(
    ("attributes", "key", "variable"), [("", "core", "fsmonitor"), ("* filter=x\n", "filter", "clean")]
)
@pytest.mark.parametrize("inside", [True, False])
async def test_a_program_of_a_nested_repository_meets_a_closed_one(
    ground: Ground, attributes: str, key: str, variable: str, inside: bool
) -> None:
    own = ground.repository()
    await plant(ground, attributes, key, variable)
    text, cwd = ("git add -A", f"{ground.root}/n") if inside else ("cd n && git add -A", "")
    done = await ground.sh(text, GIT, cwd=cwd)
    assert (own / "HEAD").exists()
    assert any("no repository was opened" in note and f"{key}.{variable}" in note for note in done.notes), done.notes


async def test_only_the_repository_of_the_folder_is_opened(ground: Ground) -> None:
    own = ground.repository()
    nested = ground.repository(ground.root / "n")
    await ground.sh(f"touch {own}/x; git commit -q --allow-empty -m second", GIT, cwd=f"{ground.root}/n")
    await ground.sh(f"touch {nested}/x; git commit -q --allow-empty -m second", GIT)
    assert not (own / "x").exists()
    assert not (nested / "x").exists()
    assert git(ground.root, "log", "--format=%s") == git(ground.root / "n", "log", "--format=%s") == "second\nfirst\n"


async def test_programs_that_the_person_named_are_no_reason_to_refuse(ground: Ground) -> None:
    """Nor is a further work tree of that repository."""
    ground.repository()
    git(ground.root, "config", "filter.x.clean", "cat")
    git(ground.root, "config", "core.hooksPath", ".githooks")
    await ground.sh("true")
    git(ground.root, "worktree", "add", "-q", "wt")
    await ground.sh("true")
    for cwd in ("", f"{ground.root}/wt"):
        done = await ground.sh("git commit -q --allow-empty -m second", GIT, cwd=cwd)
        assert done.exit_code == 0, done.head
        assert not any("no repository" in note for note in done.notes)


async def test_a_nested_repository_with_only_large_files_is_opened(ground: Ground) -> None:
    nested = ground.repository(ground.root / "n")
    with (nested / "config").open("a") as file:
        file.write('[filter "lfs"]\n clean = git-lfs clean -- %f\n process = git-lfs filter-process\n')
    done = await ground.sh("git commit -q --allow-empty -m second", GIT, cwd=f"{ground.root}/n")
    assert done.exit_code == 0, done.notes
    with (nested / "config").open("a") as file:
        file.write(' smudge = "git-lfs smudge; ./evil"\n')
    done = await ground.sh("git commit -q --allow-empty -m third", GIT, cwd=f"{ground.root}/n")
    assert done.exit_code != 0


async def test_a_folder_like_a_bare_repository_is_none(ground: Ground) -> None:
    own = ground.repository()
    text = f"{PROGRAM} && mkdir -p b/objects b/refs && echo 'ref: refs/heads/main' > b/HEAD"
    await ground.sh(text.format(at=ground.root))
    core = "[core]\n repositoryformatversion = 0\n bare = false\n worktree = .\n"
    (ground.root / "b/config").write_text(f'{core}[filter "x"]\n clean = {ground.root}/evil.sh\n')
    (ground.root / "b/.gitattributes").write_text("* filter=x\n")
    await ground.sh("cd b && git add -A", GIT)
    assert (own / "HEAD").exists()
    assert not (ground.root / "ran").exists()


async def test_programs_of_a_new_bare_repository_are_told(ground: Ground) -> None:
    await ground.sh("true")
    made = "mkdir -p b/c/objects b/c/refs && cd b/c && echo 'ref: refs/heads/main' > HEAD && : > config"
    quiet = await ground.sh(made)
    assert quiet.notes == ()
    done = await ground.sh("git config -f b/c/config core.fsmonitor ./evil")
    assert any("b/c" in note and "core.fsmonitor" in note for note in done.notes), done.notes
    assert (await ground.sh("true")).notes == ()


def test_what_git_is_told_where_it_may_write() -> None:
    told = for_git({"GIT_CONFIG_COUNT": "1"}, hooks=False)
    keys = [told[f"GIT_CONFIG_KEY_{at}"] for at in range(1, int(told["GIT_CONFIG_COUNT"]))]
    assert {"core.fsmonitor", "safe.bareRepository", "core.hooksPath"} <= set(keys)


async def test_a_repository_that_took_the_place_of_another_is_new(ground: Ground) -> None:
    """Its parent can be renamed, though it cannot."""
    ground.repository(ground.root / "lib")
    await ground.sh("true")
    done = await ground.sh(
        "mv lib old && mkdir lib && cp -r old/.git lib/.git && git config -f lib/.git/config core.fsmonitor ./evil && "
        "touch lib/.git/hooks/pre-commit && chmod +x lib/.git/hooks/pre-commit"
    )
    told = "\n".join(done.notes)
    assert "lib/.git has hooks (pre-commit)" in told
    assert "core.fsmonitor" in told
    assert not os.access(ground.root / "lib/.git/hooks/pre-commit", os.X_OK)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("named", [".githooks", "conf/hooks/all"])
async def test_hooks_kept_in_the_tree_are_closed(ground: Ground, named: str, there: bool) -> None:
    ground.repository()
    git(ground.root, "config", "core.hooksPath", named)
    folder = ground.root / named
    if there:
        folder.mkdir(parents=True)
        (folder / "pre-commit").write_text("old")
    await ground.sh(
        f"mkdir -p {named}; echo x > {named}/pre-commit; echo x > {named}/post-commit; rm {named}/pre-commit"
    )
    assert folder.exists() == there
    assert not there or [(path.name, path.read_text()) for path in folder.iterdir()] == [("pre-commit", "old")]
    await ground.sh(f"mv {named} away")
    assert folder.exists() == there


async def test_hooks_that_were_there_before_stay_in_a_tree_too_large_for_one_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "FIRST_LOOK", 0.0)
    monkeypatch.setattr(guards, "LATER_LOOK", 60.0)
    folder = tmp_path.resolve()
    root = folder / "work"
    for name in range(200):
        (root / f"d{name}/inner").mkdir(parents=True)
    hooks = root / "d0/inner/deep/.git/hooks"
    hooks.mkdir(parents=True)
    hook = hooks / "pre-commit"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    time.sleep(0.2)  # a session begins later than what it finds
    ground = Ground(folder)
    done = await ground.sh(
        "cd d1/inner && mkdir -p new/.git/hooks && touch new/.git/hooks/pre-commit && chmod +x new/.git/hooks/*"
    )
    assert os.access(hook, os.X_OK)
    assert "d1/inner/new/.git has hooks" in "\n".join(done.notes), "what was made since is still seen"
    assert "deep" not in "\n".join(done.notes)
    await ground.workspace.close()
