"""What the sandbox costs: commands of a workspace bare and confined, in turn, and finding out whether it works."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from letta_code.safety.containment import Grant  # noqa: E402 - the checkout, not what is installed
from letta_code.safety.sandboxes.bubblewrap_probe import probe  # noqa: E402 - as above
from letta_code.safety.sandboxes.choose import Territory, choose  # noqa: E402 - as above
from letta_code.safety.sandboxes.none import Unconfined  # noqa: E402 - as above
from letta_code.workspace.local import LocalWorkspace  # noqa: E402 - as above
from letta_code.workspace.workspace import ExecSpec  # noqa: E402 - as above

PROMISE = 30.0  # ms that the sandbox may add to a command, p95
FOLDERS, FILES = 300, 3_000  # of the work tree
GRANTS = {
    "nothing beyond it": Grant(),
    "git": Grant(git=True),
    "network open": Grant(network="open"),
    "network by proxy": Grant(network="proxy"),
}


def tree(folder: Path) -> None:
    """A repository of a middling project."""
    for number in range(FOLDERS):
        inner = folder / f"p{number % 20}/m{number}"
        inner.mkdir(parents=True)
        for file in range(FILES // FOLDERS):
            (inner / f"f{file}.py").write_text("x = 1\n")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)


def quantile(values: list[float], share: float) -> float:
    """A value of the sorted list."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def timed(workspace: LocalWorkspace, grant: Grant) -> float:
    """Milliseconds of one command, from the call to its result."""
    began = time.perf_counter()
    result = await workspace.exec(ExecSpec(shell="true", report_cwd=True, grant=grant))
    assert result.exit_code == 0, result.head
    return (time.perf_counter() - began) * 1000


async def measure(folder: Path, count: int) -> bool:
    """Print the table; whether the promise was kept."""
    root, home = folder / "work", folder / "home"
    tree(root)
    (home / ".ssh").mkdir(parents=True)
    territory = Territory(root=str(root), temp=str(folder / "temp"), home=str(home), letta_home=str(home / ".letta"))
    began = time.perf_counter()
    found = probe(str(root))
    probed = (time.perf_counter() - began) * 1000
    sandbox = choose("auto", territory)
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    for name in ("temp", "bare"):
        (folder / name).mkdir(mode=0o700)
    confined = LocalWorkspace(str(root), str(folder / "temp"), environment=env, sandbox=sandbox)
    bare = LocalWorkspace(str(root), str(folder / "bare"), environment=env, sandbox=Unconfined())
    await timed(bare, Grant())
    first = await timed(confined, Grant())
    print(f"{os.uname().release}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {found.program or 'no bwrap'}")
    print(f"sandbox: {sandbox.containment.kind}; a tree of {FOLDERS} folders and {FILES} files; `true` in a bash")
    print(
        f"finding out whether it works: {probed:.1f} ms; first command: {first:.1f} ms; then {count} of each, in turn\n"
    )
    times: dict[str, list[float]] = {"bare": [], **{name: [] for name in GRANTS}}
    added: dict[str, list[float]] = {name: [] for name in GRANTS}
    for _ in range(count):
        beside = await timed(bare, Grant())
        times["bare"].append(beside)
        for name, grant in GRANTS.items():
            times[name].append(await timed(confined, grant))
            added[name].append(times[name][-1] - beside)
    print("command            p50 ms   p95 ms   added p50   added p95")
    kept = True
    for name, values in times.items():
        line = f"{name:<18} {quantile(values, 0.5):6.1f}   {quantile(values, 0.95):6.1f}"
        if name in added:
            more = quantile(added[name], 0.95)
            kept = kept and (more <= PROMISE or name == "network by proxy")
            line += f"   {quantile(added[name], 0.5):9.1f}   {more:9.1f}"
        print(line)
    await confined.close()
    await bare.close()
    said = "kept" if kept else "NOT KEPT"
    print(f"\nat most {PROMISE:.0f} ms added, p95 (but for the proxy, which starts a Python): {said}")
    return kept


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/tmp")) as made:
        commands = int(sys.argv[1]) if len(sys.argv) > 1 else 100
        sys.exit(0 if asyncio.run(measure(Path(made).resolve(), commands)) else 1)
