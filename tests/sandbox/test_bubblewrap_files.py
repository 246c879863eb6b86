"""Bubblewrap: what a confined command can and cannot do to files, asserted on the disk afterwards."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from letta_code.safety.containment import Grant
from letta_code.safety.sandboxes.bubblewrap import Bubblewrap
from letta_code.safety.sandboxes.choose import Territory
from letta_code.workspace.workspace import ExecSpec
from tests.sandbox.ground import GIT, NOTHING, PROBE, Ground, works

OUTSIDE = Grant(outside=True)
pytestmark = works


def everything(folder: Path) -> dict[str, bytes]:
    """Every file below a folder and what is in it."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


async def test_the_work_tree_is_written_and_nothing_else(ground: Ground) -> None:
    home, outside = everything(ground.home), everything(ground.outside)
    result = await ground.sh(
        f"echo new > README.md; mkdir -p a/b && echo x > a/b/c; rm -rf {ground.home} {ground.outside}; "
        f"echo x > {ground.outside}/new; chmod 777 {ground.outside}; touch {ground.folder}/up; mv {ground.root} /tmp/x"
    )
    assert (ground.root / "README.md").read_text() == "new\n"
    assert (ground.root / "a/b/c").read_text() == "x\n"
    kept = everything(ground.home)
    assert {path: kept.get(path) for path in home} == home
    assert everything(ground.outside) == outside
    assert stat.S_IMODE(ground.outside.stat().st_mode) != 0o777
    assert not (ground.folder / "up").exists(), result.head


@pytest.mark.parametrize(
    "text",
    [
        "ls > ~/.bashrc",
        "mkdir -p ~/.ssh; echo k >> ~/.ssh/authorized_keys",
        "exec >> ~/.bashrc; echo x",
        "python3 -c \"import os; open(os.path.expanduser('~/.bashrc'), 'w')\"",
        "echo x > ~/.ssh/config; ln -sf /tmp/evil ~/.profile; cp README.md ~/",
    ],
)
async def test_b15_redirections_out_of_the_tree_change_nothing(ground: Ground, text: str) -> None:
    before = everything(ground.home)
    await ground.sh(text)
    after = everything(ground.home)
    assert {path: text for path, text in after.items() if "/.letta/cache/" not in path} == before


async def test_b11_a_script_of_the_tree_does_not_reach_out(ground: Ground) -> None:
    (ground.root / "mywrap").write_text('#!/bin/sh\nexec "$@"\n')
    (ground.root / "mywrap").chmod(0o755)
    await ground.sh(f"./mywrap rm -rf {ground.outside}/f; ./mywrap rm -f README.md")
    assert (ground.outside / "f").read_text() == "old"
    assert not (ground.root / "README.md").exists(), "inside the tree it works"


async def test_b16_dots_do_not_lead_out(ground: Ground) -> None:
    await ground.sh("echo x > /tmp/../etc/letta-test-cron; echo x > ../outside/f; echo x > /proc/self/cwd/../outside/g")
    assert not Path("/etc/letta-test-cron").exists()
    assert (ground.outside / "f").read_text() == "old"
    assert not (ground.outside / "g").exists()


async def test_links_in_the_tree_lead_to_nothing_that_can_be_written(ground: Ground) -> None:
    await ground.sh(
        f"ln -s {ground.outside} l; ln -s {ground.outside}/f g; echo x > l/new; echo x > g; ln {ground.outside}/f h"
    )
    assert (ground.outside / "f").read_text() == "old"
    assert not (ground.outside / "new").exists()
    assert not (ground.root / "h").exists(), "no hard link to a file outside either"


async def test_devices_and_mounts_are_out_of_reach(ground: Ground) -> None:
    said = await ground.said(
        "ls /dev; mknod d b 8 0; mount -t tmpfs x /mnt; umount /proc; unshare -Urm umount /run; "
        "cat /proc/1/environ | wc -c; "
        "grep -E 'CapEff|NoNewPrivs' /proc/self/status"
    )
    assert "vda" not in said and "mem\n" not in said and "kmsg" not in said
    assert "NoNewPrivs:\t1" in said and "CapEff:\t0000000000000000" in said
    assert not (ground.root / "d").exists()


async def test_m01_homes_of_agents_are_not_there(ground: Ground) -> None:
    before = everything(ground.letta)
    said = await ground.said(
        f"cat {ground.letta}/letta.db {ground.letta}/agents/other/memory/human.md ~/.letta/credentials.yaml; "
        f"grep -r SECRET ~ ; find {ground.letta} -name '*.md'; ln -s ~/.letta/agents l; ls -R l/; "
        "echo x > ~/.letta/letta.db; "
        "rm -rf ~/.letta/agents; cat ~/.letta/skills/one/SKILL.md; echo x > ~/.letta/skills/one/SKILL.md"
    )
    assert "SECRET" not in said and "memory/human.md\n" not in said
    assert "plain" in said, "skills bring scripts along, which commands run"
    after = everything(ground.letta)
    assert {path: after.get(path) for path in before} == before


async def test_secrets_of_the_home_are_not_there_and_the_rest_is(ground: Ground) -> None:
    said = await ground.said(
        "cat ~/.ssh/* ~/.aws/* ~/.netrc ~/.config/gh/* ~/.docker/config.json; grep -rh '' ~; cat ~/notes.txt"
    )
    assert "SECRET" not in said
    assert "plain" in said


async def test_what_logging_in_needs_is_shown_where_it_was_granted_and_no_more(ground: Ground) -> None:
    text = "cat ~/.ssh/id_ed25519; echo; cat ~/.netrc; echo; cat ~/.aws/credentials; echo x > ~/.ssh/config"
    for grant, seen in ((Grant(network="open", logins=True), 2), (Grant(network="proxy", logins=True), 1)):
        assert (await ground.said(text, grant)).count("SECRET") == seen, grant
    assert "SECRET" not in await ground.said(text, Grant(network="open"))
    assert not (ground.home / ".ssh/config").exists()


async def test_a_granted_secret_is_read_alone_and_once(ground: Ground) -> None:
    (ground.home / ".ssh/other").write_text("OTHER")
    for path in (ground.home / ".ssh/id_ed25519", ground.home / ".netrc"):
        text = f"cat {path}; cat ~/.ssh/other ~/.aws/credentials; echo x > {path}"
        said = await ground.said(text, Grant(reads=(str(path),)))
        assert said.count("SECRET") == 1 and "OTHER" not in said and path.read_text() == "SECRET"
        assert "SECRET" not in await ground.said(text)


async def test_a_linked_secret_is_hidden_where_it_really_is(ground: Ground) -> None:
    real = ground.folder / "vault"
    (ground.home / ".aws/credentials").unlink()
    (ground.home / ".aws").rmdir()
    real.mkdir()
    (real / "credentials").write_text("SECRET")
    (ground.home / ".aws").symlink_to(real)
    assert "SECRET" not in await ground.said(f"cat {real}/credentials ~/.aws/credentials")


async def test_temp_is_the_sessions_own_and_lasts_between_commands(ground: Ground, tmp_path: Path) -> None:
    theirs = Path("/tmp") / f"letta-test-{os.getpid()}-theirs"
    theirs.write_text("somebody's")
    try:
        said = await ground.said(f"cat {theirs}; echo one > /tmp/x; echo two > $TMPDIR/y; echo $TMPDIR")
        assert "somebody's" not in said
        assert await ground.said("cat /tmp/x /tmp/y $TMPDIR/x") == "one\ntwo\none\n"
    finally:
        theirs.unlink()
    assert (Path(said.splitlines()[-1]) / "y").read_text() == "two\n", "TMPDIR is the same path inside and outside"
    assert not Path("/tmp/x").exists()


async def test_what_is_written_for_commands_outside_cannot_be_changed_inside(ground: Ground) -> None:
    """The hook that a later command, let out of the sandbox, would read; the whole outputs; names foreseen."""
    await ground.sh(
        f"for f in {ground.temp}/*; do echo 'touch {ground.outside}/evil' > $f; done; "
        f"ln -s {ground.outside}/f {ground.temp}/output-1.txt"
    )
    await ground.sh(f"(while :; do for f in {ground.temp}/*.sh; do echo evil > $f; done; done) & sleep 0.3")
    await ground.sh("true", Grant(outside=True))
    assert not (ground.outside / "evil").exists()
    assert not [path for path in ground.temp.iterdir() if path.is_symlink() or "evil" in path.name]
    assert (ground.outside / "f").read_text() == "old"


async def test_granted_paths_may_be_written(ground: Ground) -> None:
    await ground.sh(f"echo new > {ground.outside}/f", Grant(writes=(str(ground.outside),)))
    assert (ground.outside / "f").read_text() == "new\n"


async def test_a_command_let_out_is_not_confined(ground: Ground) -> None:
    from letta_code.safety.sandboxes.late import LateSandbox

    late = LateSandbox("bubblewrap", str(ground.letta), str(ground.root))
    late.temp = str(ground.temp)
    assert late.confine(["/bin/true"], "/", {"A": "b"}, Grant(outside=True)).argv == ("/bin/true",)
    assert "bwrap" in " ".join(late.confine(["/bin/true"], "/", {}, Grant()).argv)
    late.close()


async def test_caches_of_tools_can_be_written(ground: Ground) -> None:
    said = await ground.said(
        'for d in "$PIP_CACHE_DIR" "$npm_config_cache" "$GOCACHE" "$UV_CACHE_DIR"; '
        'do mkdir -p "$d" && touch "$d/x" && echo ok; done'
    )
    assert said == "ok\n" * 4
    assert await ground.said('ls "$PIP_CACHE_DIR"') == "x\n", "and they last"


async def test_a_tree_inside_a_hidden_place_and_one_that_holds_them(tmp_path: Path) -> None:
    """The deeper path wins: work in a folder of letta-code's home, and work in the home folder itself."""
    from letta_code.workspace.local import LocalWorkspace

    ground = Ground(tmp_path.resolve())
    inner = ground.letta / "agents/mine"
    inner.mkdir()
    for root in (inner, ground.home):
        territory = Territory(
            root=str(root), temp=str(ground.temp), home=str(ground.home), letta_home=str(ground.letta)
        )
        sandbox = Bubblewrap(PROBE.program, territory)
        workspace = LocalWorkspace(str(root), str(ground.temp), environment=ground.env, sandbox=sandbox)
        text = f"echo x > made; cat {ground.letta}/letta.db {ground.home}/.ssh/id_ed25519 ../other/memory/human.md; "
        text += "echo x >> ~/.bashrc"
        result = await workspace.exec(ExecSpec(shell=text))
        assert (root / "made").read_text() == "x\n"
        assert b"SECRET" not in result.head
        assert (ground.home / ".bashrc").read_text() == "old"
        await workspace.close()


async def test_programs_of_the_tree_on_the_search_path_can_be_written(tmp_path: Path) -> None:
    """As in an activated environment of a project."""
    folder = tmp_path.resolve()
    ground = Ground(folder, env={"PATH": f"{folder}/work/.venv/bin:{os.environ['PATH']}"})
    (ground.root / ".venv/bin").mkdir(parents=True)
    await ground.sh("printf '#!/bin/sh\\necho mine\\n' > .venv/bin/tool; chmod +x .venv/bin/tool")
    assert await ground.said("tool") == "mine\n"
    await ground.workspace.close()


async def test_what_a_confined_command_plants_on_the_search_path_does_not_get_what_its_name_is_granted(
    tmp_path: Path,
) -> None:
    """`git` of an activated environment is the system's where a yes let it out; what only lies there is found."""
    folder = tmp_path.resolve()
    planted = [f"{folder}/work/.venv/bin", f"{folder}/temp/tmp/bin", "bin", ""]
    ground = Ground(folder, env={"PATH": ":".join([*planted, os.environ["PATH"]])})
    fake = "printf '#!/bin/sh\\necho planted\\n'"
    await ground.sh(
        f"for at in .venv/bin bin . {folder}/temp/tmp/bin; do mkdir -p $at; for name in git only; do "
        f"{fake} > $at/$name; chmod +x $at/$name; done; done"
    )
    assert await ground.said("git --version; only") == "planted\nplanted\n"
    # Nor does it get what the name was granted: the repository, the open network, a folder outside.
    web = Grant(network="proxy")
    for grant in (OUTSIDE, GIT, Grant(network="open"), Grant(writes=(str(ground.outside),)), web):
        said = await ground.said("git --version; only", grant)
        assert said.startswith("git version ") and said.endswith("planted\n"), grant
    process = await ground.workspace.spawn(ExecSpec(shell="git --version; sleep 0.01", grant=OUTSIDE))
    for _ in range(1000):
        if not (await ground.workspace.poll(process.id)).running:
            break
        await asyncio.sleep(0.02)
    assert (await ground.workspace.poll(process.id)).output.startswith(b"git version ")
    await ground.workspace.close()


async def test_no_link_leads_the_ending_of_an_outside_command_elsewhere(ground: Ground) -> None:
    """A confined command plants links where it can work out that a later one will tell its folder."""
    planted = await ground.said(
        "own=$(tr '\\0' '\\n' < /proc/$$/environ | sed -n 's/^BASH_ENV=.*ending-\\(.*\\).sh$/\\1/p'); "
        f"for n in $(seq 60); do ln -s {ground.home}/.bashrc $TMPDIR/.ending-${{own%-*}}-$n; done; echo $own"
    )
    assert planted.strip()
    result = await ground.sh("cat ../temp/ending-*; cd ..", OUTSIDE)
    assert result.cwd == str(ground.folder)
    assert (ground.home / ".bashrc").read_text() == "old"
    told = result.head.decode().split('>|"')[1].split('"')[0]  # where it told, had one got to know it in time
    assert (await ground.sh(f"ln -s {ground.home}/.bashrc {told}")).exit_code != 0
    assert not os.path.lexists(told)


async def test_a_door_of_another_letta_code_may_go_while_a_command_starts(ground: Ground) -> None:
    """Its socket was listening when the mounts were written down; nothing can be mounted on it when it is gone."""
    with tempfile.TemporaryDirectory(prefix="letta-", dir="/var/tmp") as other:
        folder = Path(other).resolve() / "cache/sandbox/0123456789abcdef"
        folder.mkdir(parents=True)
        (folder / "plain").write_text("x")
        door = folder / "proxy-1-1"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(door))
            listening.listen()
            argv = ["/bin/sh", "-c", f"ls {folder.parent}; echo ran"]
            confined = ground.sandbox.confine(argv, str(ground.root), ground.env, NOTHING)
        door.unlink()
        done = subprocess.run(confined.argv, env=confined.env, check=False, capture_output=True, text=True)
        assert confined.close is not None
        confined.close()
        assert (done.stdout, done.stderr) == ("ran\n", "")


def test_a_session_s_folder_in_the_work_tree_is_not_written_but_for_its_temp() -> None:
    """Reports and whole outputs lie there, which are read and written outside of the sandbox."""
    with tempfile.TemporaryDirectory(prefix="letta-", dir="/var/tmp") as folder:
        root = os.path.realpath(folder)
        territory = Territory(root=root, temp=f"{root}/t", home="/nowhere", letta_home=f"{root}/l")
        sandbox = Bubblewrap(PROBE.program, territory)
        confined = sandbox.confine(["/bin/sh", "-c", "echo x > t/f; echo x > t/tmp/f"], root, {}, NOTHING)
        done = subprocess.run(confined.argv, env=confined.env, check=False, capture_output=True, text=True)
        assert confined.close is not None
        confined.close()
        sandbox.close()
        assert os.listdir(f"{root}/t") == ["tmp"], done.stderr
        assert os.listdir(f"{root}/t/tmp") == ["f"]
