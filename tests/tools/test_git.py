"""Git tool: everyday use works, nothing of the repository is run, words cannot become options or other files."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from letta_code.core.display import ShellBlock
from letta_code.core.errors import ToolError
from letta_code.core.messages import text_of
from letta_code.llm.model import ModelInfo
from letta_code.safety.operations import GitOperation
from letta_code.tools.base import Situation
from letta_code.tools.git import Git
from letta_code.tools.gitwords import SUBCOMMANDS, checked, writes
from letta_code.workspace.local import LocalWorkspace
from letta_code.workspace.workspace import Capabilities
from tests.host.hostile import Hostile, git, repository, submodule_with
from tests.tools.context import FakeContext

tool = Git()


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[FakeContext]:
    workspace = LocalWorkspace(str(repository(tmp_path / "repo")))
    yield FakeContext(workspace)
    await workspace.close()


@pytest.fixture
async def hostile(tmp_path: Path) -> AsyncIterator[tuple[Hostile, FakeContext]]:
    made = Hostile(tmp_path)
    workspace = LocalWorkspace(str(made.root))
    yield made, FakeContext(workspace)
    await workspace.close()


def root_of(context: FakeContext) -> Path:
    return Path(context.workspace.capabilities.root)


def operation(context: FakeContext) -> GitOperation:
    found = context.wanted[0].operation
    assert isinstance(found, GitOperation)
    return found


# ---------------------------------------------------------------- everyday use


async def test_from_change_to_commit(context: FakeContext) -> None:
    root = root_of(context)
    (root / "f.txt").write_text("one\ntwo\n")
    (root / "new file.txt").write_text("x\n")
    assert await context.text(tool, subcommand="status", args=["-s"]) == ' M f.txt\n?? "new file.txt"'
    assert "+two" in await context.text(tool, subcommand="diff")
    assert await context.text(tool, subcommand="add", paths=["f.txt", "new file.txt"]) == "(done, no output)"
    assert await context.text(tool, subcommand="diff") == "(no differences)"
    assert "+two" in await context.text(tool, subcommand="diff", args=["--staged"], paths=["f.txt"])
    text = await context.text(tool, subcommand="commit", message='Second: it\'s "quoted" $HOME\n\n# body stays')
    assert "2 files changed" in text
    assert operation(context).command.startswith("commit -m 'Second: it'")
    assert git(root, "log", "-1", "--format=%B").strip() == 'Second: it\'s "quoted" $HOME\n\n# body stays'
    log = await context.text(tool, subcommand="log", args=["--oneline"])
    assert [line.split(" ", 1)[1] for line in log.splitlines()] == ['Second: it\'s "quoted" $HOME', "first"]
    assert "two" in await context.text(tool, subcommand="show", args=["HEAD:f.txt"])
    assert "+two" in await context.text(tool, subcommand="show", args=["HEAD"], paths=["f.txt"])
    assert "Test Person" in await context.text(tool, subcommand="blame", args=["-L", "1,1"], paths=["f.txt"])


async def test_restore_stash_and_branch(context: FakeContext) -> None:
    root = root_of(context)
    (root / "f.txt").write_text("changed\n")
    await context.call(tool, subcommand="stash", message="for later")
    assert (root / "f.txt").read_text() == "one\n"
    assert "for later" in await context.text(tool, subcommand="stash", args=["list"])
    assert "+changed" in await context.text(tool, subcommand="stash", args=["show", "-p"])
    await context.call(tool, subcommand="stash", args=["pop"])
    assert (root / "f.txt").read_text() == "changed\n"
    await context.call(tool, subcommand="restore", paths=["f.txt"])
    assert (root / "f.txt").read_text() == "one\n"
    await context.call(tool, subcommand="branch", args=["topic"])
    assert (await context.text(tool, subcommand="branch")).split() == ["*", "main", "topic"]
    await context.call(tool, subcommand="branch", args=["-d", "topic"])
    assert (await context.text(tool, subcommand="branch", args=["--show-current"])) == "main"


async def test_commit_of_everything_and_of_paths(context: FakeContext) -> None:
    root = root_of(context)
    (root / "f.txt").write_text("two\n")
    (root / "g.txt").write_text("x\n")
    git(root, "add", "g.txt")
    await context.call(tool, subcommand="commit", message="only f", paths=["f.txt"])
    assert git(root, "status", "--porcelain") == "A  g.txt\n"
    (root / "f.txt").write_text("three\n")
    await context.call(tool, subcommand="commit", args=["-am", "all"])
    assert git(root, "status", "--porcelain") == ""
    await context.call(tool, subcommand="commit", args=["--amend", "--no-edit", "--date", "2020-01-01T00:00:00"])
    assert git(root, "log", "-1", "--format=%s %ad", "--date=short").strip() == "all 2020-01-01"


async def test_failures_come_with_their_exit_code(context: FakeContext) -> None:
    text = await context.text(tool, subcommand="show", args=["no-such-revision"])
    assert text.startswith("Exit code: 128\n")
    assert "no-such-revision" in text
    text = await context.text(tool, subcommand="commit", message="nothing to commit")
    assert text.startswith("Exit code: 1\n")


async def test_log_is_bounded_unless_asked(context: FakeContext) -> None:
    root = root_of(context)
    for number in range(60):
        git(root, "commit", "-q", "--allow-empty", "-m", f"c{number}")
    assert len((await context.text(tool, subcommand="log", args=["--oneline"])).splitlines()) == 50
    assert len((await context.text(tool, subcommand="log", args=["--oneline", "-3"])).splitlines()) == 3
    assert len((await context.text(tool, subcommand="log", args=["--oneline", "-n", "55"])).splitlines()) == 55
    assert len((await context.text(tool, subcommand="log", args=["--oneline", "--max-count=60"])).splitlines()) == 60


async def test_the_screen_shows_what_was_asked(context: FakeContext) -> None:
    (root_of(context) / "f.txt").write_text("two\n")
    result = await context.call(tool, subcommand="diff", args=["--stat"], paths=["f.txt"])
    (block,) = result.blocks
    assert isinstance(block, ShellBlock)
    assert block.command == "git diff --stat -- f.txt"
    assert "f.txt | 2 +-" in text_of(result.content)


def test_not_sent_without_git() -> None:
    model = ModelInfo(name="m")
    assert tool.applies(Situation(capabilities=Capabilities(), model=model))
    assert not tool.applies(Situation(capabilities=Capabilities(git=False), model=model))


async def test_outside_a_repository(tmp_path: Path) -> None:
    workspace = LocalWorkspace(str(tmp_path))
    with pytest.raises(ToolError, match="no repository"):
        await FakeContext(workspace).call(tool, subcommand="status")
    (tmp_path / "a").write_text("a")
    with pytest.raises(ToolError, match="no repository"):
        await FakeContext(workspace).call(tool, subcommand="diff", args=["a", "b"])
    await workspace.close()


# ---------------------------------------------------------------- words


WRITES = [
    ("status", [], False),
    ("diff", ["HEAD"], False),
    ("log", ["-p"], False),
    ("show", [], False),
    ("blame", [], False),
    ("add", ["-A"], True),
    ("add", ["-n", "."], True),
    ("commit", [], True),
    ("commit", ["--dry-run"], True),
    ("restore", ["-S"], True),
    ("stash", [], True),
    ("stash", ["pop"], True),
    ("stash", ["list"], False),
    ("stash", ["show"], False),
    ("branch", [], False),
    ("branch", ["-vv", "-a"], False),
    ("branch", ["--list", "x*"], False),
    ("branch", ["--contains", "HEAD"], False),
    ("branch", ["new"], True),
    ("branch", ["-d", "x"], True),
    ("branch", ["-vd", "x"], True),
    ("branch", ["-a", "-D", "x"], True),
    ("branch", ["--list", "-m", "x", "y"], True),
    ("branch", ["-uorigin/x"], True),
    ("branch", ["--set-upstream-to=origin/x"], True),
    ("branch", ["--unset-upstream"], True),
    ("branch", ["-f", "main", "HEAD~1"], True),
]


@pytest.mark.parametrize(("subcommand", "args", "changes"), WRITES)
def test_what_writes_is_known(subcommand: str, args: list[str], changes: bool) -> None:
    assert writes(subcommand, checked(subcommand, args, [])) is changes


REFUSED = {
    "diff": [
        "--output=x",
        "--output",
        "--no-index",
        "--ext-diff",
        "--textconv",
        "-O/etc/passwd",
        "-c",
        "-Xx",
    ],
    "log": ["--output=x", "--ext-diff", "--textconv", "--exec-path=.", "--show-signature", "--stdin"],
    "show": ["--textconv", "--output=x"],
    "blame": ["--contents=/etc/passwd", "--contents", "--ignore-revs-file=/etc/passwd", "-S/etc/passwd", "--textconv"],
    "status": ["--paginate", "-c", "--git-dir=/x", "--work-tree=/", "-C"],
    "branch": ["--edit-description", "-C", "--del"],
    "add": ["--interactive", "-i", "-p", "--patch", "-e", "--edit", "--pathspec-from-file=/etc/passwd"],
    "commit": [
        "-F/etc/passwd",
        "--file=/etc/passwd",
        "-S",
        "--gpg-sign",
        "-t/x",
        "--template=/x",
        "-e",
        "--no-verify",
        "-p",
    ],
    "restore": ["-p", "--patch", "--pathspec-from-file=/x"],
    "stash": ["--pathspec-from-file=/x"],
}


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_options_that_are_not_known_harmless_are_refused(subcommand: str) -> None:
    for word in [*REFUSED[subcommand], "--upload-pack=x", "--exec=x", "--no-such-option", "-Z"]:
        with pytest.raises(ToolError, match="Allowed: "):
            checked(subcommand, [word, "value"], [])


def test_words_after_two_dashes_are_paths() -> None:
    assert checked("diff", ["HEAD", "--", "--output=x"], ["b"]) == ((), ("HEAD",), ("--output=x", "b"))
    assert checked("log", ["-5", "-n3", "-S", "--output", "-sp"], []) == (
        ("--max-count=5", "-n3", "-S", "--output", "-s", "-p"),
        (),
        (),
    )


async def test_a_path_is_never_an_option(context: FakeContext) -> None:
    root = root_of(context)
    (root / "--output=made").write_text("x")
    assert await context.text(tool, subcommand="add", paths=["--output=made"]) == "(done, no output)"
    assert "--output=made" in await context.text(tool, subcommand="diff", args=["--staged"], paths=["--output=made"])
    assert not (root / "made").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        {"subcommand": "diff", "paths": ["/etc/passwd", "/etc/hosts"]},
        {"subcommand": "diff", "paths": ["../secret", "f.txt"]},
        {"subcommand": "diff", "paths": [":(top)/../../secret", "f.txt"]},
        {"subcommand": "diff", "args": ["/etc/passwd"]},
        {"subcommand": "diff", "args": ["/etc/passwd", "/etc/hosts"]},
        {"subcommand": "diff", "args": ["../secret", "f.txt"]},
        {"subcommand": "diff", "args": ["--", "../secret", "f.txt"]},
        {"subcommand": "diff", "paths": ["out/secret", "f.txt"]},
        {"subcommand": "add", "paths": ["../secret"]},
        {"subcommand": "restore", "paths": [".."]},
        {"subcommand": "blame", "paths": ["/etc/passwd"]},
    ],
)
async def test_no_file_outside_is_shown_or_touched(
    context: FakeContext, tmp_path: Path, arguments: dict[str, object]
) -> None:
    (tmp_path / "secret").write_text("secret\n")
    (root_of(context) / "out").symlink_to("..")
    with pytest.raises(ToolError):
        await context.call(tool, **arguments)


async def test_calls_that_lack_something(context: FakeContext) -> None:
    for arguments, words in [
        ({"subcommand": "commit"}, "message"),
        ({"subcommand": "restore"}, "paths"),
        ({"subcommand": "blame"}, "exactly one"),
        ({"subcommand": "stash", "args": ["clear"]}, "push"),
        ({"subcommand": "log", "args": ["-n"]}, "needs a value"),
        ({"subcommand": "push"}, "Invalid"),
    ]:
        with pytest.raises(ToolError, match=words):
            await context.call(tool, **arguments)


# ---------------------------------------------------------------- hostile repositories


READS = [
    {"subcommand": "status"},
    {"subcommand": "status", "args": ["-sb", "--ignored"]},
    {"subcommand": "diff"},
    {"subcommand": "diff", "args": ["HEAD", "--stat"]},
    {"subcommand": "diff", "args": ["--word-diff"], "paths": ["f.txt"]},
    {"subcommand": "log", "args": ["-p", "--stat"]},
    {"subcommand": "log", "args": ["--format=%G? %GS %h"]},
    {"subcommand": "log", "args": ["-L1,1:f.txt"]},
    {"subcommand": "show", "args": ["HEAD"]},
    {"subcommand": "show", "args": ["HEAD:f.txt"]},
    {"subcommand": "blame", "paths": ["f.txt"]},
    {"subcommand": "branch", "args": ["-vv"]},
    {"subcommand": "stash", "args": ["list"]},
]


async def test_reads_run_nothing(hostile: tuple[Hostile, FakeContext]) -> None:
    traps, context = hostile
    traps.everything().filters().merges()
    for arguments in READS:
        text = await context.text(tool, **arguments)
        assert not text.startswith("Exit code"), (arguments, text)
        assert traps.sprung == [], arguments
    assert "filters were not run (" in await context.text(tool, subcommand="status")


async def test_a_signed_commit_is_not_verified_by_the_repository_s_program(
    hostile: tuple[Hostile, FakeContext],
) -> None:
    traps, context = hostile
    raw = git(traps.root, "cat-file", "commit", "HEAD")
    head, _, body = raw.partition("\n\n")
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    (traps.root / "c").write_text(f"{head}\n{signature}\n\n{body}")
    commit = git(traps.root, "hash-object", "-t", "commit", "-w", "c").strip()
    traps.everything()
    await context.call(tool, subcommand="log", args=["--format=%G? %GK", commit])
    await context.call(tool, subcommand="show", args=[commit])
    assert traps.sprung == []


async def test_writes_run_no_hook_and_say_so(hostile: tuple[Hostile, FakeContext]) -> None:
    traps, context = hostile
    traps.everything()
    await context.call(tool, subcommand="add", paths=["f.txt", "g.txt"])
    text = await context.text(tool, subcommand="commit", message="m")
    assert "hooks were not run: commit-msg, post-commit, pre-commit, prepare-commit-msg" in text
    (traps.root / "f.txt").write_text("changed\n")
    for arguments in [
        {"subcommand": "stash"},
        {"subcommand": "stash", "args": ["show", "-p"]},
        {"subcommand": "stash", "args": ["pop"]},
        {"subcommand": "restore", "paths": ["f.txt"]},
        {"subcommand": "branch", "args": ["new"]},
        {"subcommand": "commit", "args": ["--amend", "--no-edit"]},
    ]:
        text = await context.text(tool, **arguments)
        assert not text.startswith("Exit code"), (arguments, text)
    assert traps.sprung == []


async def test_hooks_elsewhere_are_named_too(context: FakeContext) -> None:
    root = root_of(context)
    git(root, "config", "core.hooksPath", ".husky")
    (root / "f.txt").write_text("x\n")
    text = await context.text(tool, subcommand="commit", args=["-a"], message="m")
    assert "hooks were not run: those in .husky" in text
    git(root, "config", "--unset", "core.hooksPath")
    (root / "f.txt").write_text("y\n")
    assert "hooks" not in await context.text(tool, subcommand="commit", args=["-a"], message="m")


@pytest.mark.parametrize("kind", ["filters", "merges"])
async def test_writes_that_would_need_the_repository_s_programs_are_refused(
    hostile: tuple[Hostile, FakeContext], kind: str
) -> None:
    traps, context = hostile
    getattr(traps, kind)()
    for arguments in [
        {"subcommand": "add", "paths": ["f.txt"]},
        {"subcommand": "commit", "args": ["-a"], "message": "m"},
        {"subcommand": "restore", "paths": ["f.txt"]},
        {"subcommand": "stash"},
    ]:
        with pytest.raises(ToolError, match="by Bash"):
            await context.call(tool, **arguments)
    assert traps.sprung == []


async def test_the_person_s_own_filters_do_run(
    hostile: tuple[Hostile, FakeContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As git-lfs installs them: blanking these would store the wrong content."""
    traps, _ = hostile
    (tmp_path / "global").write_text(f'[filter "mine"]\n\tclean = {traps.script("mine")}\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "global"))
    traps.attributes("*.txt filter=mine\n")
    workspace = LocalWorkspace(str(traps.root))
    await FakeContext(workspace).call(tool, subcommand="add", paths=["f.txt"])
    await workspace.close()
    assert traps.sprung == ["mine.ran"]


async def test_a_work_tree_elsewhere_is_left_alone(context: FakeContext, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "f.txt").write_text("private\n")
    git(root_of(context), "config", "core.worktree", str(elsewhere))
    for arguments in [{"subcommand": "diff"}, {"subcommand": "status"}, {"subcommand": "restore", "paths": ["f.txt"]}]:
        with pytest.raises(ToolError, match="elsewhere"):
            await context.call(tool, **arguments)
    assert (elsewhere / "f.txt").read_text() == "private\n"


async def test_a_submodule_as_work_tree_is_fine(tmp_path: Path) -> None:
    inner, outer = repository(tmp_path / "inner"), repository(tmp_path / "outer")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "sub")
    workspace = LocalWorkspace(str(outer / "sub"))
    assert "clean" in await FakeContext(workspace).text(tool, subcommand="status")
    await workspace.close()


ENTERING = [
    {"subcommand": "add", "args": ["-n", "."]},
    {"subcommand": "add", "args": ["-A"]},
    {"subcommand": "add", "paths": ["sub"]},
    {"subcommand": "commit", "args": ["--dry-run"]},
    {"subcommand": "commit", "args": ["-a"], "message": "m"},
    {"subcommand": "commit", "message": "m"},
    {"subcommand": "stash"},
]


@pytest.mark.parametrize("key", ["filter.evil.clean", "filter.evil.process", "core.fsmonitor"])
async def test_programs_of_a_submodule_are_not_run(tmp_path: Path, key: str) -> None:
    outer, hostile = submodule_with(tmp_path, key)
    context = FakeContext(LocalWorkspace(str(outer)))
    for arguments in ENTERING:
        with pytest.raises(ToolError, match="submodule sub runs programs"):
            await context.call(tool, **arguments)
    for arguments in [*READS, {"subcommand": "restore", "paths": ["f.txt"]}]:
        await context.call(tool, **arguments)
    await tool.preview(await context.prepare(tool, subcommand="commit", args=["-a"], message="m"), context)
    await context.workspace.close()
    assert hostile.sprung == []
    if not key.endswith("process"):  # the script does not speak the protocol, so plain git fails with it
        git(outer, "add", "-n", ".")
        assert hostile.sprung, "plain git does run it: else the above would show nothing"


async def test_a_submodule_of_a_submodule_and_one_beside_the_work_tree_are_seen(tmp_path: Path) -> None:
    middle, hostile = submodule_with(tmp_path, "filter.evil.clean")
    git(middle, "commit", "-qm", "sub")
    top = repository(tmp_path / "top")
    allowed = ("-c", "protocol.file.allow=always", "submodule")
    git(top, *allowed, "add", "-q", str(middle), "mid")
    git(top / "mid", *allowed, "update", "-q", "--init")
    git(top / "mid/sub", "config", "filter.evil.clean", hostile.script("clean"))
    (top / "folder").mkdir()
    workspace = LocalWorkspace(str(top / "folder"))
    with pytest.raises(ToolError, match=r"submodule \.\./mid/sub runs programs"):
        await FakeContext(workspace).call(tool, subcommand="add", args=["-A"])
    await workspace.close()
    assert hostile.sprung == []


async def test_with_a_harmless_submodule_everything_works_and_its_hooks_are_not_run(tmp_path: Path) -> None:
    outer, hostile = submodule_with(tmp_path, "core.editor")
    hooks = Path(git(outer / "sub", "rev-parse", "--absolute-git-dir").strip()) / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "post-index-change").symlink_to(hostile.script("hook"))
    git(outer, "config", "submodule.sub.ignore", "none")
    context = FakeContext(LocalWorkspace(str(outer)))
    (outer / "f.txt").write_text("two\n")
    assert "add 'f.txt'" in await context.text(tool, subcommand="add", args=["-n", "."])
    assert "f.txt" in await context.text(tool, subcommand="commit", args=["--dry-run", "-a"])
    assert "1 file changed" in await context.text(tool, subcommand="commit", message="m", paths=["f.txt"])
    await context.workspace.close()
    assert hostile.sprung == []


async def test_reads_do_not_touch_the_index(context: FakeContext) -> None:
    root = root_of(context)
    os.utime(root / "f.txt", (1, 1))
    before = (root / ".git/index").stat().st_mtime_ns
    (root / ".git/index.lock").write_text("")
    assert "clean" in await context.text(tool, subcommand="status")
    assert (root / ".git/index").stat().st_mtime_ns == before
