"""Bubblewrap: repositories and protected names of the work tree, there or not, asserted on the disk afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from letta_code.core.errors import NotStartedError
from letta_code.host.git import ENVIRONMENT, QUIET, hardened
from letta_code.safety.containment import Grant
from letta_code.safety.sandboxes.bubblewrap import Bubblewrap
from letta_code.safety.sandboxes.choose import Territory
from letta_code.workspace.workspace import ExecSpec
from tests.sandbox.ground import GIT, PROBE, Ground, until, works

pytestmark = works
HOOK = "#!/bin/sh\ntouch hook-ran\n"
PLANT = "mkdir -p .git/hooks; echo x > .git/hooks/pre-commit; echo '[core] pager = x' > .git/config; rm -rf .git/hooks"


def of(folder: Path) -> dict[str, bytes]:
    """What decides, in a repository, which programs run."""
    names = [folder / "config", *sorted((folder / "hooks").rglob("*")), *sorted((folder / "info").rglob("*"))]
    return {str(path): path.read_bytes() for path in names if path.is_file()}


async def test_c11_the_repository_cannot_be_moved_away(ground: Ground) -> None:
    git = ground.repository()
    before = of(git)
    result = await ground.sh(
        "mv .git .g2 && mkdir -p .git/hooks && echo x > .git/hooks/pre-commit; "
        + PLANT
        + "; rm -rf .git; git config a.b c"
    )
    assert of(git) == before
    assert not (ground.root / ".g2").exists(), result.head
    assert b"Device or resource busy" in result.head


@pytest.mark.parametrize("grant", [Grant(), GIT, Grant(git=True, hooks=True)])
async def test_c09_settings_and_hooks_are_not_written_by_the_shell_and_notes_are(ground: Ground, grant: Grant) -> None:
    git = ground.repository()
    (ground.root / ".letta").mkdir()
    (ground.root / ".letta/settings.json").write_text("{}")
    (ground.root / ".envrc").write_text("old")
    before = of(git)
    await ground.sh(
        f"echo x > .letta/settings.json; echo x > .envrc; rm -f .envrc; mv .letta .l2; echo x > AGENTS.md; {PLANT}; "
        "echo x > .git/info/attributes; git config core.pager x; mkdir -p .git/modules/m; mv .git/hooks .git/h2; "
        "echo x > .git/config.worktree; ln -sf /tmp/x .git/config",
        grant,
    )
    assert (ground.root / ".letta/settings.json").read_text() == "{}"
    assert (ground.root / ".envrc").read_text() == "old"
    assert (ground.root / "AGENTS.md").read_text() == "x\n"
    assert of(git) == before
    assert not (git / "modules").exists()


async def test_c10_missing_names_cannot_be_made_and_leave_no_trace(ground: Ground) -> None:
    before = ground.names()
    said = await ground.said(
        "mkdir -p .git/hooks; echo x > .git/config; git init; echo x > .mcp.json; echo x > .envrc; "
        "mkdir -p .letta/skills; "
        "rmdir .envrc; rm -rf .letta; mv .mcp.json m; echo x > m2; mv m2 .envrc; ln -s /tmp/x .envrc; "
        "ls -A .letta .git; git status"
    )
    assert ground.names() - before <= {"m2"}, said
    assert "Initialized" not in said
    await ground.sh("true")
    assert ground.names() - before <= {"m2"}


async def test_stubs_stay_while_another_command_runs(ground: Ground) -> None:
    """The end of one command does not open the names to another one that still runs."""
    before = ground.names()
    process = await ground.workspace.spawn(
        ExecSpec(shell="until [ -e go ]; do sleep 0.05; done; echo x > .envrc; mkdir -p .letta/x; echo tried > tried")
    )
    await ground.sh("true")
    await ground.sh("touch go")
    await until((ground.root / "tried").exists)
    await ground.workspace.kill(process.id)
    await until(lambda: ground.names() - before == {"go", "tried"})


async def test_stubs_of_a_killed_process_are_removed_by_the_next(ground: Ground) -> None:
    before = ground.names()
    program = (
        "import sys,os,signal\n"
        "from letta_code.safety.sandboxes.bubblewrap import Bubblewrap\n"
        "from letta_code.safety.sandboxes.choose import Territory\n"
        "from letta_code.safety.containment import Grant\n"
        "root, temp, home, letta = sys.argv[1:]\n"
        "Bubblewrap('/usr/bin/bwrap', Territory(root=root, temp=temp, home=home, letta_home=letta))"
        ".confine(['/bin/true'], root, {}, Grant())\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    words = [str(path) for path in (ground.root, ground.temp, ground.home, ground.letta)]
    done = subprocess.run([sys.executable, "-c", program, *words], check=False, cwd=Path(__file__).parent.parent.parent)
    assert done.returncode == -signal.SIGKILL
    assert ground.names() - before == {".envrc", ".git", ".letta", ".mcp.json"}
    await ground.sh("true")
    assert ground.names() == before


async def test_what_a_person_made_in_place_of_a_stub_stays(ground: Ground) -> None:
    """Only empty folders are ever removed."""
    process = await ground.workspace.spawn(ExecSpec(shell="sleep 60"))
    (ground.root / ".letta/mine").write_text("mine")
    (ground.root / ".envrc").rmdir()
    (ground.root / ".envrc").write_text("")
    await ground.workspace.kill(process.id)
    await ground.workspace.close()
    assert (ground.root / ".letta/mine").read_text() == "mine"
    assert (ground.root / ".envrc").is_file()
    assert not (ground.root / ".mcp.json").exists()


@pytest.mark.parametrize("target", ["inside", "outside", "dangling", "itself", "up"])
@pytest.mark.parametrize("name", [".git", ".letta", ".envrc"])
async def test_c10_a_protected_name_that_is_a_link_does_not_break_the_start(
    ground: Ground, name: str, target: str
) -> None:
    """And what it leads to is protected, and a link that was replaced is put back and told."""
    inside, outside = ground.root / "real", ground.outside / "real"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "config").write_text("old")
    places = {"inside": "real", "outside": str(outside), "dangling": "conf/missing", "itself": ".", "up": ".."}
    (ground.root / "conf").mkdir()
    link = ground.root / name
    link.symlink_to(places[target])
    result = await ground.sh(
        f"echo works; echo x > {name}/config; rm -f {name}; mkdir -p {name}/hooks; echo evil > {name}/hooks/pre-commit"
    )
    assert result.head.startswith(b"works"), result.head
    assert os.readlink(link) == places[target]
    assert not (link / "hooks/pre-commit").exists()
    assert (inside / "config").read_text() == "old"
    assert (outside / "config").read_text() == "old"
    assert any("put back" in note for note in result.notes)


@pytest.mark.row("D09")
async def test_d09_the_folder_behind_a_git_file_is_protected(ground: Ground) -> None:
    git = ground.repository(None, "--separate-git-dir", str(ground.root / "hidden-git"))
    behind = ground.root / "hidden-git"
    before, text = of(behind), git.read_text()
    await ground.sh(
        "echo x > hidden-git/hooks/pre-commit; mv hidden-git h2; echo 'gitdir: /tmp/x' > .git; rm -f .git; "
        "echo x > hidden-git/config"
    )
    assert of(behind) == before
    assert git.read_text() == text


@pytest.mark.row("D09")
@pytest.mark.parametrize("back", [True, False])
async def test_d09_a_git_file_does_not_open_a_foreign_folder(ground: Ground, back: bool) -> None:
    """`gitdir:` may name anything; only a repository that knows of this work tree is opened."""
    foreign = ground.outside / "foreign"
    ground.repository(foreign)
    inner = foreign / ".git"
    if back:
        (inner / "gitdir").write_text(f"{ground.root}/elsewhere/.git\n")
    (ground.root / ".git").write_text(f"gitdir: {inner}\n")
    await ground.sh(f"touch {inner}/made; git -C . add -A", GIT)
    assert not (inner / "made").exists()
    assert not (inner / "index").exists() or b"README" not in (inner / "index").read_bytes()


async def test_a_linked_worktree_commits_and_its_main_repository_is_closed(ground: Ground) -> None:
    main = ground.outside / "main"
    git = ground.repository(main)
    ground.root.rename(ground.folder / "old")
    subprocess.run(["git", "worktree", "add", "-q", str(ground.root)], cwd=main, check=True)
    (ground.root / "new").write_text("x")
    before = of(git)
    said = await ground.said(
        f"git add new && git commit -qm second && git log --oneline | wc -l; "
        f"touch {git}/hooks/x {git}/config.x; git config a.b c",
        GIT,
    )
    assert said.startswith("2\n"), said
    assert of(git) == before


async def test_a_subfolder_of_a_repository_commits(ground: Ground, tmp_path: Path) -> None:
    git = ground.repository()
    inner = ground.root / "packages/app"
    inner.mkdir(parents=True)
    other = Ground(tmp_path.resolve() / "other")
    territory = Territory(root=str(inner), temp=str(other.temp), home=str(other.home), letta_home=str(other.letta))
    from letta_code.workspace.local import LocalWorkspace

    sandbox = Bubblewrap(PROBE.program, territory)
    workspace = LocalWorkspace(str(inner), str(other.temp), environment=other.env, sandbox=sandbox)
    before = of(git)
    done = await workspace.exec(
        ExecSpec(
            shell="echo x > f && git add f && git commit -qm second; git log --oneline | wc -l; git config a.b c",
            grant=GIT,
        )
    )
    assert done.head.startswith(b"2\n"), done.head
    assert of(git) == before
    denied = await workspace.exec(
        ExecSpec(shell="git commit --allow-empty -qm third; git status --short; git log --oneline | wc -l")
    )
    assert denied.head.endswith(b"2\n")
    await workspace.close()


async def test_git_works_where_it_was_granted_and_only_reads_elsewhere(ground: Ground) -> None:
    ground.repository()
    (ground.root / "new").write_text("x")
    said = await ground.said(
        "git add new; git commit -qm no; git status --short; git log --oneline; git diff; git blame README.md"
    )
    assert "?? new" in said and "first" in said
    text = "git add new && git commit -qm second && git branch b && git switch -q b && git stash list; "
    text += "git tag t; git log --oneline | wc -l"
    assert await ground.said(text, GIT) == "2\n"
    assert "refs/tags/t" in await ground.said("git show-ref")


async def test_hooks_run_only_after_a_yes_and_then_inside(ground: Ground) -> None:
    git = ground.repository()
    hook = git / "hooks/pre-commit"
    hook.write_text(f"{HOOK}touch {ground.outside}/hook-ran\n")
    hook.chmod(0o755)
    await ground.sh("git commit --allow-empty -qm second", GIT)
    assert not (ground.root / "hook-ran").exists()
    await ground.sh("git commit --allow-empty -qm third; true", Grant(git=True, hooks=True))
    assert (ground.root / "hook-ran").exists()
    assert not (ground.outside / "hook-ran").exists()


async def test_a_nested_repository_is_closed_too(ground: Ground) -> None:
    nested = ground.repository(ground.root / "vendor/lib")
    ground.repository()
    before = of(nested)
    await ground.sh(
        "cd vendor/lib && mv .git .g2; echo x > .git/hooks/pre-commit; git config a.b c; git commit --allow-empty -qm x"
    )
    assert of(nested) == before
    assert (await ground.said("git -C vendor/lib log --oneline | wc -l")) == "1\n"


async def test_a_planted_repository_loses_its_hooks_and_is_told(ground: Ground) -> None:
    result = await ground.sh(
        "mkdir -p sub && cd sub && git init -q && printf '#!/bin/sh\\ntouch ../ran\\n' > .git/hooks/pre-commit && "
        "chmod +x .git/hooks/pre-commit && git config core.fsmonitor ./evil && git config filter.x.clean ./evil"
    )
    told = "\n".join(result.notes)
    assert "sub/.git has hooks (pre-commit)" in told
    assert "core.fsmonitor" in told and "filter.clean" in told
    assert not os.access(ground.root / "sub/.git/hooks/pre-commit", os.X_OK)
    again = await ground.sh("chmod +x sub/.git/hooks/pre-commit; echo x > sub/.git/config")
    assert not os.access(ground.root / "sub/.git/hooks/pre-commit", os.X_OK), "from then on it is closed"
    assert again.notes == ()


async def test_a_plain_new_repository_is_not_worth_a_word(ground: Ground) -> None:
    result = await ground.sh(
        "mkdir sub && cd sub && git init -q && git commit -q --allow-empty -m first && git log --oneline | wc -l"
    )
    assert result.head == b"1\n"
    assert result.notes == ()


async def test_planted_hooks_that_are_links_touch_nothing_else(ground: Ground) -> None:
    target = ground.outside / "program"
    target.write_text("x")
    target.chmod(0o755)
    await ground.sh(
        f"mkdir -p sub/.git other/.git; ln -s {ground.outside} sub/.git/hooks; mkdir other/.git/hooks; "
        f"ln -s {target} other/.git/hooks/pre-commit"
    )
    assert os.access(target, os.X_OK)


async def test_a_detour_to_other_configuration_is_set_aside(ground: Ground) -> None:
    git = ground.repository()
    result = await ground.sh("mkdir evil; echo ../evil > .git/commondir", GIT)
    assert not (git / "commondir").exists()
    assert any("commondir" in note for note in result.notes)
    assert "first" in subprocess.run(["git", "log"], cwd=ground.root, capture_output=True, text=True, check=True).stdout


async def test_the_hardened_git_of_the_git_tool_works_inside(ground: Ground) -> None:
    """As the tool runs it: an argv, its own environment, no hooks, no quarrel about whose repository it is."""
    ground.repository()
    (ground.root / "new").write_text("x")
    env = {**ENVIRONMENT, **QUIET}
    said: list[bytes] = []
    for grant, words in (
        (Grant(), ["status", "--short"]),
        (GIT, ["add", "--", "new"]),
        (GIT, ["commit", "-q", "-m", "second"]),
        (GIT, ["stash", "list"]),
        (Grant(), ["log", "--format=%s"]),
    ):
        done = await ground.workspace.exec(ExecSpec(argv=tuple(hardened(*words)), env=env, grant=grant))
        assert done.exit_code == 0, done.head
        said.append(done.head)
    assert said == [b"?? new\n", b"", b"", b"", b"second\nfirst\n"]


async def test_the_environment_that_letta_code_runs_from_is_not_written_where_it_is_in_the_work_tree(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its modules are loaded when they are needed, and its Python starts processes, all outside the sandbox."""
    for name in (".venv", "other"):
        (ground.root / name / "bin").mkdir(parents=True)
        (ground.root / name / "bin/python").write_text("old")
    monkeypatch.setattr(sys, "prefix", str(ground.root / ".venv"))
    result = await ground.sh(
        "for e in .venv other; do echo x > $e/bin/python; echo x > $e/bin/rg; done; mv .venv .v2; rm -rf .venv"
    )
    assert (ground.root / ".venv/bin/python").read_text() == "old", result.head
    assert not (ground.root / ".venv/bin/rg").exists()
    assert (ground.root / "other/bin/python").read_text() == "x\n", "another environment is the project's"


async def test_what_hooks_of_the_work_tree_call_is_written_by_nothing_that_runs_beside_them(ground: Ground) -> None:
    git = ground.repository()
    called = ground.root / ".husky/pre-commit"
    (ground.root / ".husky/_").mkdir(parents=True)
    called.write_text("old")
    subprocess.run(["git", "config", "core.hooksPath", ".husky/_"], cwd=ground.root, check=True)
    write, hooks = f"echo x 2>&1 > {called}", Grant(git=True, hooks=True)
    for grant in (Grant(), hooks):
        assert "Read-only" in await ground.said(write, grant)
    waits = "touch begun; until [ -e on ]; do sleep 0.05; done; "
    for first, second in ((GIT, hooks), (hooks, GIT)):
        running = asyncio.create_task(ground.said(waits, first))
        await until((ground.root / "begun").exists)
        if second == hooks:
            with pytest.raises(NotStartedError, match="another git command"):
                await ground.sh("true", second)
        else:
            assert "Read-only" in await ground.said(f"cd .husky; cp {git}/HEAD pre-commit", second)
        (ground.root / "on").touch()
        await running
        for name in ("begun", "on"):
            (ground.root / name).unlink()
    assert called.read_text() == "old"
    await ground.sh(f"cp .git/HEAD {called}", GIT)
    assert called.read_text() != "old", "a merge may bring another one, which is asked about"
