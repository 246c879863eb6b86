"""Bubblewrap: links and files that lead out of the work tree lead neither the host nor the mounts anywhere else."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from letta_code.safety.containment import Grant
from letta_code.safety.sandboxes import guards
from letta_code.safety.sandboxes.mounts import Mounts
from letta_code.safety.sandboxes.named_programs import UNREAD, NamedPrograms
from letta_code.safety.sandboxes.planted import planted
from letta_code.safety.sandboxes.stubs import Stubs
from letta_code.workspace.workspace import ExecSpec
from tests.sandbox.ground import GIT, IDENTITY, Ground, until, works

pytestmark = works
SWAP = "mv sub old; ln -s {to} sub"


@pytest.mark.parametrize("name", [".letta", ".envrc"])
async def test_a_link_is_not_put_back_in_a_folder_that_took_the_place_of_its_own(ground: Ground, name: str) -> None:
    before = sorted(os.listdir(ground.home))
    await ground.sh(f"mkdir sub evil; ln -s {ground.root}/evil sub/{name}")
    await ground.sh("true")
    done = await ground.sh(SWAP.format(to=ground.home))
    assert sorted(os.listdir(ground.home)) == before
    assert any("could not be put back" in note for note in done.notes), done.notes
    await ground.sh("rm sub; mkdir sub; echo x > sub/mine")
    assert os.listdir(ground.root / "sub") == ["mine"], "another folder by that name is left alone too"


async def test_a_hook_is_not_switched_off_behind_a_link(ground: Ground) -> None:
    hooks = ground.repository(ground.outside) / "hooks"
    (hooks / "pre-commit").write_text("#!/bin/sh\n")
    (hooks / "pre-commit").chmod(0o755)
    (ground.root / "sub").symlink_to(ground.outside)
    assert not [*planted(f"{ground.root}/sub/.git", "sub/.git", 0, NamedPrograms(str(ground.root)))]
    assert os.access(hooks / "pre-commit", os.X_OK)


@pytest.mark.parametrize(
    "hook",
    [
        "ln -s {at}/evil n/.git/hooks/pre-commit",
        "rm -r n/.git/hooks; mkdir h; cp evil h/pre-commit; ln -s ../../h n/.git/hooks",
        "cp evil n/.git/hooks/pre-commit; touch n/.git/hooks/{0..1005}",
    ],
)
async def test_a_planted_hook_does_not_run_however_it_is_put_there(ground: Ground, hook: str) -> None:
    await ground.sh("true")
    made = f"git init -q n; printf '#!/bin/sh\ntouch %s/ran\n' {ground.root} > evil; chmod +x evil; "
    done = await ground.sh(made + hook.replace("{at}", str(ground.root)))
    assert any("n/.git has hooks" in note for note in done.notes), done.notes
    words = ["git", "commit", "-q", "--allow-empty", "-m", "first"]
    subprocess.run(words, cwd=ground.root / "n", check=True, env={**os.environ, **IDENTITY})
    assert not (ground.root / "ran").exists()


def test_stubs_are_neither_made_nor_removed_behind_a_link(ground: Ground) -> None:
    (ground.root / "sub").mkdir()
    stubs = Stubs(str(ground.letta / "notes"))
    path = f"{ground.root}/sub/.letta"
    assert stubs.take([path]) == [path]
    (ground.outside / ".letta").mkdir()
    os.rename(ground.root / "sub", ground.root / "old")
    (ground.root / "sub").symlink_to(ground.outside)
    stubs.release()
    assert (ground.outside / ".letta").is_dir()
    assert stubs.take([f"{ground.root}/sub/.envrc"]) == []
    assert not (ground.outside / ".envrc").exists()
    stubs.release()


@pytest.mark.parametrize("what", [".ssh/id_ed25519", ".letta/letta.db", ".letta/agents"])
async def test_a_protected_name_that_leads_to_a_secret_does_not_show_it(ground: Ground, what: str) -> None:
    look = f"cat {ground.home}/{what} {ground.home}/{what}/other/memory/human.md"
    await ground.sh(f"mkdir sub other; ln -s {ground.home}/{what} sub/.envrc; ln -s {ground.home}/{what} other/.git")
    await ground.sh(f"mkdir third; echo 'gitdir: {ground.home}/{what}' > third/.git")
    await ground.sh("true")
    assert "SECRET" not in await ground.said(look)


def test_what_is_hidden_is_shown_nowhere_below_but_where_it_is_admitted() -> None:
    mounts = Mounts("/nothing", "/home/u/work")
    mounts.writable("/home/u/work")
    mounts.read_only("/home/u/.ssh/key")
    mounts.read_only("/home/u/.letta/skills")
    mounts.read_only("/home/u/work/sub/.letta")
    mounts.hidden("/home/u/.ssh")
    mounts.hidden("/home/u/.letta")
    mounts.writable("/tmp", "/home/u/.letta/tmp")
    mounts.admitted("/home/u/.letta/skills")
    words = mounts.argv()
    assert "/home/u/.ssh/key" not in words
    assert "/home/u/.letta/skills" in words
    assert min(words.index("/home/u/.letta"), words.index("/tmp")) > words.index("/home/u/work/sub/.letta"), (
        "masks last"
    )


async def test_a_yes_to_write_a_folder_of_secrets_does_not_show_them(ground: Ground) -> None:
    keys = ground.home / ".ssh"
    said = await ground.said(f"cat {keys}/*; echo evil > {keys}/authorized_keys", Grant(writes=(str(keys),)))
    assert "SECRET" not in said
    assert os.listdir(keys) == ["id_ed25519"]
    netrc = ground.home / ".netrc"
    await ground.sh(f"echo more >> {netrc}", Grant(writes=(str(netrc),)))
    assert netrc.read_text() == "SECRETmore\n", "a file that was named is open"


@pytest.mark.parametrize("inside", [True, False])
async def test_a_repository_that_only_names_another_ones_folders_is_not_opened(ground: Ground, inside: bool) -> None:
    own, other = ground.repository(), ground.repository(ground.outside)
    target, root = (own if inside else other), ground.root
    branch = os.listdir(target / "refs/heads")[0]
    await ground.sh(
        f"mkdir sub gd; echo 'gitdir: {root}/gd' > sub/.git; echo 'ref: refs/heads/{branch}' > gd/HEAD; "
        f"echo {target} > gd/commondir; echo {root}/sub/.git > gd/gitdir"
    )
    done = await ground.sh("git commit -q --allow-empty -m planted", GIT, cwd=f"{root}/sub")
    assert done.exit_code != 0
    log = subprocess.run(["git", "log", "--all", "--format=%s"], cwd=target, capture_output=True, text=True, check=True)
    assert log.stdout == "first\n"


async def test_a_head_that_was_broken_is_put_back(ground: Ground) -> None:
    own = ground.repository()
    head = (own / "HEAD").read_text()
    done = await ground.sh("echo broken > .git/HEAD", GIT)
    assert (own / "HEAD").read_text() == head
    assert any("HEAD" in note and "put back" in note for note in done.notes), done.notes
    done = await ground.sh("rm .git/HEAD; ln -s /etc/passwd .git/HEAD", GIT)
    assert (own / "HEAD").read_text() == head
    quiet = await ground.sh("git switch -q -c other; git switch -q --detach", GIT)
    assert quiet.notes == ()
    done = await ground.sh("mv .git/refs .git/r", GIT)
    assert any("no repository any more (refs)" in note for note in done.notes), done.notes


@pytest.mark.parametrize("at", ["sub/.envrc", "hooks path"])
async def test_no_stub_is_put_in_the_way_of_git(ground: Ground, at: str) -> None:
    """It would stand there as long as a command runs, while the person uses git, which reads `commondir`."""
    own = ground.repository()
    made = "git init -q n; git config -f n/.git/config core.hooksPath ../.git/commondir"
    await ground.sh("mkdir sub; ln -s ../.git/commondir sub/.envrc" if at == "sub/.envrc" else made)
    await ground.sh("true")
    said = await ground.said("ls .git")
    assert "config" in said and "commondir" not in said
    assert not (own / "commondir").exists()


async def test_the_main_repository_of_a_linked_work_tree_is_looked_after_too(ground: Ground) -> None:
    own = ground.repository()
    head = (own / "HEAD").read_text()
    subprocess.run(["git", "worktree", "add", "-q", "wt"], cwd=ground.root, check=True, capture_output=True)
    await ground.sh("true")
    done = await ground.sh(f"echo ../evil > {own}/commondir; rm {own}/HEAD", GIT, cwd=f"{ground.root}/wt")
    assert (own / "HEAD").read_text() == head
    assert not (own / "commondir").exists()
    assert len(done.notes) == 2, done.notes


HIDDEN = {
    "form feed": b'[filter "x"]\n#\x0c[user]\n clean = ./evil\n',
    "continued": b'[filter "x"]\n name = a\\\n[user]\n clean = ./evil\n',
    "long": b"#" + b"x" * 70_000 + b'\n[filter "x"]\n clean = ./evil\n',
    "key command": b'[gpg "ssh"]\n defaultKeyCommand = ./evil\n',
}


@pytest.mark.parametrize("how", HIDDEN)
def test_programs_are_named_as_git_reads_them(ground: Ground, how: str) -> None:
    path = ground.root / "config"
    path.write_bytes(b"[core]\n bare = false\n" + HIDDEN[how])
    named = NamedPrograms(str(ground.root)).in_file(str(path))
    assert named == ["gpg.defaultkeycommand" if how == "key command" else "filter.clean"]


def test_a_configuration_that_cannot_be_looked_through_counts_as_one_that_names_programs(ground: Ground) -> None:
    programs = NamedPrograms(str(ground.root))
    long, link, wrong = ground.root / "long", ground.root / "link", ground.root / "wrong"
    long.write_bytes(b"#" + b"x" * 300_000 + b"\n")
    link.symlink_to("long")
    wrong.write_text("[core\n")
    assert [programs.in_file(str(path)) for path in (long, link, wrong, ground.root)] == [[UNREAD]] * 4
    assert programs.in_file(f"{ground.root}/missing") == []


async def test_a_repository_that_leads_out_of_sight_keeps_the_tree_s_own_closed(ground: Ground) -> None:
    """`/tmp` in the sandbox is not the one that is looked at from outside."""
    own = ground.repository()
    await ground.sh("mkdir sub; echo 'gitdir: /tmp/elsewhere' > sub/.git")
    done = await ground.sh("touch .git/x; git -C sub status", GIT)
    assert not (own / "x").exists()
    assert any("sub/.git leads to a configuration that cannot be looked through" in note for note in done.notes)


async def test_a_repository_that_came_since_is_seen_in_a_tree_too_large_for_one_look(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "LATER_LOOK", 0.0)
    own = ground.repository()
    for number in range(200):
        (ground.root / f"d{number}/inner").mkdir(parents=True)
    await ground.sh("true")
    await ground.sh("git init -q n; git config -f n/.git/config core.fsmonitor ./evil")
    done = await ground.sh("touch .git/x; git -C n status", GIT)
    assert not (own / "x").exists()
    assert any("core.fsmonitor" in note for note in done.notes), done.notes


async def test_a_nested_repository_is_not_opened_while_a_command_may_move_it(ground: Ground) -> None:
    ground.repository()
    ground.repository(ground.root / "n")
    process = await ground.workspace.spawn(ExecSpec(shell="touch up; sleep 60"))
    await until((ground.root / "up").exists)
    refused = await ground.sh("git commit -q --allow-empty -m no", GIT, cwd=f"{ground.root}/n")
    assert refused.exit_code != 0
    assert any("while another command runs" in note for note in refused.notes), refused.notes
    assert (await ground.sh("git commit -q --allow-empty -m second", GIT)).exit_code == 0, "the tree's own cannot move"
    await ground.workspace.kill(process.id)
    await until(lambda: not (ground.root / ".mcp.json").exists())
    assert (await ground.sh("git commit -q --allow-empty -m second", GIT, cwd=f"{ground.root}/n")).exit_code == 0


async def test_nothing_is_redirected_beside_an_open_repository_while_another_command_runs(ground: Ground) -> None:
    """It could make the file a link to `.git/commondir` after the line was decided."""
    own = ground.repository()
    process = await ground.workspace.spawn(ExecSpec(shell="touch up; sleep 60"))
    await until((ground.root / "up").exists)
    refused = await ground.sh("touch .git/x; echo ../evil > log", GIT)
    assert not (own / "x").exists()
    assert any("redirects into" in note for note in refused.notes), refused.notes
    plain = await ground.sh("git commit -q --allow-empty -m 'a > b' 2>&1 >/dev/null", GIT)
    assert (plain.exit_code, plain.notes) == (0, ())
    await ground.workspace.kill(process.id)
    await until(lambda: not (ground.root / ".mcp.json").exists())
    assert (await ground.sh("git commit -q --allow-empty -m second > log", GIT)).exit_code == 0


@pytest.mark.parametrize("seen", [True, False])
async def test_a_repository_that_another_command_moves_away_is_protected_there_too(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    """Where it is moved after the look, what was written is told and its hooks are switched off."""
    ground.repository()
    own = ground.repository(ground.root / "n")
    (ground.root / "n/.envrc").write_text("good\n")
    await ground.sh("true")
    moves = "mv n old; touch up; until [ -e done ]; do sleep 0.02; done; mv old n; touch back; sleep 60"
    process = await ground.workspace.spawn(ExecSpec(shell=moves))
    await until((ground.root / "up").exists)
    if not seen:
        monkeypatch.setattr(ground.sandbox._guards._tree, "look", lambda *_, **__: ground.sandbox._guards._found)
    hook = "printf '#!/bin/sh\n' > old/.git/hooks/pre-commit; chmod +x old/.git/hooks/pre-commit"
    written = "git config -f old/.git/config core.fsmonitor ./evil; echo evil > old/.envrc"
    wait = "until [ -e back ]; do sleep 0.02; done"
    done = await ground.sh(f"{hook}; {written}; touch done; {wait}")
    await ground.workspace.kill(process.id)
    assert not os.access(own / "hooks/pre-commit", os.X_OK)
    assert ("evil" in (own / "config").read_text(), (own.parent / ".envrc").read_text() == "evil\n") == (not seen,) * 2
    told = "\n".join(done.notes)
    assert all((what in told) != seen for what in ("n/.envrc is protected", "core.fsmonitor", "pre-commit")), told


async def test_a_submodule_of_the_tree_still_commits(ground: Ground) -> None:
    source = ground.folder / "source"
    ground.repository(source)
    ground.repository()
    words = ["git", "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(source), "sub"]
    subprocess.run(words, cwd=ground.root, check=True, env={**os.environ, **IDENTITY})
    subprocess.run(["git", "config", "core.editor", "code --wait"], cwd=ground.root / "sub", check=True)
    for folder in (f"{ground.root}/sub", str(ground.root)):  # its configuration is closed as the root's own is
        done = await ground.sh("git commit -q --allow-empty -m second", GIT, cwd=folder)
        assert (done.exit_code, done.notes) == (0, ()), done.head
    shut = await ground.sh("git config core.pager x", GIT, cwd=f"{ground.root}/sub")
    assert shut.exit_code != 0
    assert "pager" not in (ground.root / ".git/modules/sub/config").read_text()


async def test_a_repository_is_seen_where_the_folder_got_its_old_time_back(ground: Ground) -> None:
    (ground.root / "sub").mkdir()
    os.utime(ground.root / "sub", (1, 1_000_000_000))
    await ground.sh("true")
    made = "git init -q sub; git config -f sub/.git/config core.fsmonitor ./evil; touch -d @1000000000 sub"
    done = await ground.sh(made)
    assert any("core.fsmonitor" in note for note in done.notes), done.notes


def test_a_word_is_harmless_only_for_a_key_that_takes_it_for_a_switch(ground: Ground) -> None:
    path = ground.root / "config"
    path.write_text("[include]\n path = merge\n[core]\n hooksPath = merge\n sshCommand = true\n fsmonitor = true\n")
    named = NamedPrograms(str(ground.root)).in_file(str(path))
    assert named == ["include.path", "core.hookspath", "core.sshcommand"]


async def test_a_nested_repository_that_was_there_before_is_judged_too(ground: Ground) -> None:
    """Git runs the filters of a submodule at the root's own commit."""
    own, nested = ground.repository(), ground.repository(ground.root / "n")
    with (nested / "config").open("a") as file:
        file.write('[filter "x"]\n clean = ./evil\n')
    done = await ground.sh("touch .git/x", GIT)
    assert not (own / "x").exists()
    assert any("n/.git names programs that git would run (filter.clean)" in note for note in done.notes), done.notes


_EVIL = "printf '[core]\\n repositoryformatversion = 0\\n fsmonitor = ./evil\\n' > "
PLANTED = {
    "commondir": f"git init -q n; mkdir x; mv n/.git/[or]* x; {_EVIL} x/config; echo ../../x > n/.git/commondir",
    "commondir link": f"git init -q n; git init -q --bare x; {_EVIL} x/config; ln -s ../../x n/.git/commondir",
    "worktree config": f"git init -q n; {_EVIL} n/.git/config.worktree",
    "bare with links": f"git init -q --bare n; mv n/objects n/o; ln -s o n/objects; {_EVIL} n/config",
    "bare commondir": f"git init -q --bare x; mkdir n; cp x/HEAD n; echo ../x > n/commondir; {_EVIL} x/config",
}


@pytest.mark.parametrize("how", PLANTED)
async def test_a_repository_is_told_however_it_is_put_together(ground: Ground, how: str) -> None:
    own = ground.repository()
    await ground.sh("true")
    done = await ground.sh(PLANTED[how])
    told = [note for note in done.notes if "commondir" in note or "core.fsmonitor" in note]
    assert told, done.notes
    assert not os.path.lexists(ground.root / "n/.git/commondir")
    assert not os.path.lexists(ground.root / "n/commondir")
    await ground.sh("touch .git/x", GIT)
    assert (own / "x").exists() == (how == "commondir"), "that one names none without it"


@pytest.mark.parametrize("moved", ["mkdir n; mv old n/.git", "git init -q n; rm -r n/.git/hooks; mv old/hooks n/.git"])
async def test_old_hooks_that_are_moved_into_a_new_repository_are_switched_off(ground: Ground, moved: str) -> None:
    subprocess.run(["git", "init", "-q", "--bare", "old"], cwd=ground.root, check=True)
    hook = ground.root / "old/hooks/pre-commit"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    (ground.root / "old/objects").rename(ground.root / "objects")
    await until(lambda: time.time_ns() - hook.stat().st_ctime_ns > 100_000_000)
    ground.sandbox._guards._began = time.time_ns() - 50_000_000  # as in a session that begins now
    await ground.sh("true")
    done = await ground.sh(f"mv objects old; {moved}")
    assert any("n/.git has hooks (pre-commit)" in note for note in done.notes), done.notes
    assert not os.access(ground.root / "n/.git/hooks/pre-commit", os.X_OK)


async def test_a_work_tree_of_a_bare_repository_is_left_as_git_makes_it(ground: Ground) -> None:
    await ground.sh("true")
    made = "git init -q --bare x; cd x; c=$(git commit-tree -m a $(git mktree </dev/null)); git worktree add -q ../w $c"
    done = await ground.sh(made)
    assert (done.exit_code, [note for note in done.notes if "commondir" in note]) == (0, []), (done.head, done.notes)
    assert (await ground.sh("git -C w status")).exit_code == 0
