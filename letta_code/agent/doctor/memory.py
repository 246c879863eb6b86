"""Memory: each agent's repository, its working files, blocks, conflicts and locks, and shared memory."""

from __future__ import annotations

import os
import shlex
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from letta_code.agent.doctor.base import FIX, Finding, Look, Mend, State, Telling, check
from letta_code.agent.doctor.lost import backup_of, branch_in_record, has_objects, known_agents, restoring
from letta_code.core.counts import many
from letta_code.core.errors import LettaError
from letta_code.host.files import read_bounded
from letta_code.host.git_objects import GitDamage, blob_name
from letta_code.host.memory_git import Repository
from letta_code.host.memory_tree import LARGEST_FILE, WorkTree
from letta_code.memory.block import AGENT_FOLDER, CONFLICTS, DEFAULT_LIMIT, FILE_LIMIT, PROJECTS, SUFFIX
from letta_code.memory.front_matter import parsed
from letta_code.store.marker import MARKER, marked, read_marker

_LOCKS = ("HEAD.lock", "index.lock", "packed-refs.lock", "refs/heads/main.lock")
_HISTORY = 2_000  # commits that are walked
ASIDE = "damaged-git"  # a repository that could not be mended, beside the memory that began anew


_said = Telling("memory")


@check("memory", 2)
def memory(look: Look) -> Iterator[Finding]:
    """Every agent of ours and the shared repository; another program's folders are not looked at."""
    yield from _markers(look)
    known = {one.id: one for one in known_agents(look)}
    found = [one for one in marked(look.paths.agents) if not one.deleted_at]
    for one in found:
        name = f"{one.name} ({one.id})" if one.name else one.id
        root = look.paths.agents / one.id / "memory"
        if os.path.lexists(root):
            yield from _sound_or(look, _repository(look, root, name, one.id), name, root)
        elif one.id in known and known[one.id].wrote:
            yield _lost(look, name, root)
        else:
            yield _said(name, "ok", f"{name} has no memory yet.")
    for one in known.values():
        if not os.path.lexists(look.paths.agents / one.id):
            yield _lost(look, one.named, look.paths.agents / one.id / "memory")
    shared = look.paths.shared / "memory"
    if os.path.lexists(shared):
        yield from _sound_or(look, _repository(look, shared, "shared memory", ""), "shared memory", shared)
    if not found and not known:
        yield _said("agents", "skipped", "There is no agent yet.")


def _lost(look: Look, name: str, root: Path) -> Finding:
    """The database knows the agent: an empty memory is no new one."""
    means, mend = restoring(look, root)
    says = f"The memory of {name} is gone: there is no {root if root.parent.is_dir() else root.parent}."
    return _said(name, "wrong", says, f"The agent begins with empty blocks. {means}", mend)


def _sound_or(look: Look, findings: Iterator[Finding], name: str, root: Path) -> Iterator[Finding]:
    """One bad repository must not keep the others from being looked at."""
    try:
        yield from findings
    except (GitDamage, LettaError) as error:
        yield _damaged(look, name, root, str(error))
    except (OSError, ValueError) as error:
        mend = f"ls -la {shlex.quote(str(root))}"
        yield _said(name, "wrong", f"{root} cannot be read: {error}.", "Its blocks may not be shown.", mend)


def _damaged(look: Look, name: str, root: Path, why: str) -> Finding:
    says = f"The repository {root} is damaged: {why}."
    if branch_in_record(Repository(root)):
        means = "Its history is all there; only the name of its newest commit is lost, and is known from our record."
        return _said(name, "wrong", says, means, FIX, fix=Mend("branch", str(root)))
    means = "What stands in the working files is used; the history before may be lost."
    told, mend = restoring(look, root)
    if backup_of(look, root) is not None:
        return _said(name, "wrong", says, f"{means} {told}", mend)
    begins = "The command begins history anew: all that stands there counts as the person's own edit then."
    return _said(name, "wrong", says, f"{means} {told} {begins}", _set_aside(root))


def _set_aside(root: Path) -> str:
    """Our own writer takes the working files into a repository that it makes anew."""
    git = root / ".git"
    return f"mv {shlex.quote(str(git))} {shlex.quote(str(root.parent / ASIDE))}"


def _day(path: Path) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(path.stat().st_ctime))


def _markers(look: Look) -> Iterator[Finding]:
    try:
        folders = sorted(look.paths.agents.iterdir())
    except OSError:
        return
    for folder in folders:
        marker = folder / MARKER
        if os.path.lexists(marker) and read_marker(folder) is None:
            says = f"{marker} does not fit its folder."
            means = "The folder is not taken for an agent's: it may be a copy of another one's."
            yield _said("marker", "wrong", says, means, f"rm {shlex.quote(str(marker))}")
        elif folder.name.startswith("agent-") and (folder / "memory/.git/letta").is_dir() and not marker.exists():
            says = f"{folder} has lost the file that marks it as ours."
            yield _said(
                "marker", "warning", says, "It is not shown, saved or restored.", FIX, fix=Mend("mark", str(folder))
            )


def _repository(look: Look, root: Path, name: str, agent: str) -> Iterator[Finding]:
    strange = _strange(root)
    if strange:
        means = "Links, pipes and devices there are not followed: reading one might never end. Memory cannot be read."
        mend = f"mv {shlex.quote(str(strange))} {shlex.quote(f'{look.paths.home}/aside-{strange.name}')}"
        yield _said(name, "wrong", f"{strange} is neither a file nor a folder.", means, mend)
        return
    repository = Repository(root)
    for old in sorted(root.parent.glob(f"{ASIDE}*")):
        says = f"{name}: history before {_day(old)} was damaged and lies in {old}."
        means, mend = restoring(look, root)
        yield _said(name, "warning", says, f"History and blame begin after it. {means}", mend)
    if not repository.exists and has_objects(repository):
        yield _damaged(look, name, root, "it has lost HEAD, the file that names its branch")
        return
    if not repository.exists:
        state: State = "warning" if any(root.glob("*/*.md")) else "ok"
        says = f"{root} is no repository yet."
        yield _said(name, state, says, "The next write makes it one and takes the files in." if state != "ok" else "")
        return
    yield from _locks(repository, name)
    head = repository.head()
    if not head:
        yield _said(name, "ok", f"{name}: nothing was written to memory yet.")
        return
    try:
        files = repository.files(head)
        blobs = {path: repository.blob(sha) for path, sha in files.items()}
        commits = sum(1 for _, _ in zip(repository.commits(head), range(_HISTORY), strict=False))
    except GitDamage as error:
        yield _damaged(look, name, root, str(error))
        return
    yield from _working_files(repository, files, name)
    blocks = [path for path in blobs if path.endswith(SUFFIX) and path.split("/")[0] != CONFLICTS]
    call = f"letta-code memory --agent {agent}" if agent else "letta-code memory"
    for path in blocks:
        yield from _block(root, path, blobs[path], call)
    kept = [path for path in blobs if path.startswith(f"{CONFLICTS}/")]
    if kept:
        says = f"{many(len(kept), 'hand edit')} that met another edit are kept in {root / CONFLICTS}."
        yield _said(name, "warning", says, "Take from them what you need, then remove them.",
                    f"ls {shlex.quote(str(root / CONFLICTS))}")  # fmt: skip
    history = many(commits, "commit") if commits < _HISTORY else f"more than {_HISTORY:,} commits"
    yield _said(name, "ok", f"{name}: {many(len(blocks), 'block')}, {history}, all can be read.")


def _strange(root: Path) -> Path | None:
    """Something in git's folder, or that folder itself, that is no plain file or folder."""
    if root.is_symlink() or not root.is_dir():
        return root
    git = root / ".git"
    if os.path.lexists(git) and (git.is_symlink() or not git.is_dir()):
        return git
    for folder, folders, files in os.walk(git):
        for one in (*folders, *files):
            if stat.S_IFMT(os.lstat(os.path.join(folder, one)).st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
                return Path(folder, one)
    return None


def _locks(repository: Repository, name: str) -> Iterator[Finding]:
    for lock in _LOCKS:
        path = repository.git_dir / lock
        if os.path.lexists(path):
            says = f"{path} is there."
            means = "A git works in that folder now, or one was killed; while it is there, nothing can be written."
            yield _said(name, "warning", says, means, FIX, fix=Mend("git_lock", str(path)))


def _working_files(repository: Repository, files: dict[str, str], name: str) -> Iterator[Finding]:
    changed: list[str] = []
    tree = WorkTree(repository)
    behind = set(tree.record().behind)
    for path, sha in files.items():
        try:
            data = read_bounded(repository.root / path, LARGEST_FILE)
        except OSError:
            changed.append(path)
            continue
        if blob_name(data) != sha:
            changed.append(path)
    changed += [path for path in sorted(tree.hand_edits(tree.record()).files) if path not in files]
    held = [path for path in changed if path in behind]
    if held:
        says = f"{many(len(held), 'hand edit')} wait for you: {', '.join(held[:5])}."
        yield _said(name, "warning", says, "The block is read-only, or was damaged.", "letta-code memory pending")
    left = [path for path in changed if path not in behind]
    if left:
        says = f"{many(len(left), 'file')} changed by hand since the last commit: {', '.join(left[:5])}."
        yield _said(name, "ok", f"{name}: {says} They are taken in at the next look.")


def _block(root: Path, path: str, data: bytes, call: str) -> Iterator[Finding]:
    said = parsed(data)
    if said.problem:
        mend = f"${{EDITOR:-vi}} {shlex.quote(str(root / path))}"
        yield _said("block", "warning", f"{root / path}: {said.problem}.", "The rest of it is used.", mend)
    folder = path.split("/", maxsplit=1)[0]
    usual = DEFAULT_LIMIT if folder in (AGENT_FOLDER, PROJECTS) or root.parent.name == "shared" else FILE_LIMIT
    limit = said.limit or usual
    if len(said.value) > limit:
        says = f"{root / path} holds {len(said.value):,} characters, and its limit is {limit:,}."
        label = path.removesuffix(SUFFIX).removeprefix(f"{AGENT_FOLDER}/")
        means = "The agent cannot add to it before it is shortened."
        yield _said("block", "warning", says, means, f"{call} edit {shlex.quote(label)}")
