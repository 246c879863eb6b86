"""Shell texts around canaries, judged by the policy, then run by a real bash: nothing allowed may run a denied one."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random

from _shell_inside import prepare
from _shell_texts import CANARIES, Texts

from letta_code.safety import shell_syntax, shell_tree
from letta_code.safety.containment import Containment
from letta_code.safety.operations import ExecOperation
from letta_code.safety.policy import Policy
from letta_code.safety.rules import Rules, parse_rules
from letta_code.safety.shell_grammar import Script
from letta_code.safety.shell_unfold import Unfolding
from letta_code.safety.shell_words import Parts, Unread

INSIDE = Path(__file__).with_name("_shell_inside.py")
ALLOWED = ("Bash(ls *)", "Bash(echo *)", "Bash(cat *)")
DENIED = tuple(f"Bash({name})" for name in CANARIES)
CONFINED = Containment(kind="bubblewrap", confines=True)
BATCH = 250
FULL = 1000  # cases; fewer are a look in passing
# Texts that somebody thought of: a JSON string a line; a full run begins with them.
KNOWN = Path(__file__).with_name("_shell_known.jsonl")
# Without a sandbox only these programs can be found, so that no text can do harm.
HARMLESS = (
    "bash",
    "sh",
    "cat",
    "echo",
    "ls",
    "env",
    "timeout",
    "nice",
    "nohup",
    "setsid",
    "stdbuf",
    "true",
    "sort",
    "tr",
)
COLUMNS = ("cases", "ran", "ran, denied", "ran, asked", "ran, allowed", "missed")


def policy(root: str) -> Policy:
    """The policy that judges: the default mode, a sandbox, the canaries denied."""
    rules = Rules.of((*parse_rules(ALLOWED, "allow"), *parse_rules(DENIED, "deny")))
    return Policy("ask", rules, root=root, home=root, variables={"PATH": "/usr/bin"}, containment=lambda: CONFINED)


def missed(text: str, root: str, ran: Sequence[str]) -> list[str]:
    """Canaries that ran although the reading calls itself complete and does not have them."""
    reading = shell_syntax.read_shell(text, root)
    if not reading.whole or reading.opaque:
        return []
    known = {command.name for command in reading.commands}
    return [name for name in ran if name not in known]


@contextmanager
def laboratory(sandboxed: bool) -> Iterator[Callable[[Sequence[str]], list[list[str]]]]:
    """Gives a function that runs texts and tells the canaries of each."""
    with tempfile.TemporaryDirectory(prefix="letta-shell-") as name:
        base = Path("/tmp/lab") if sandboxed else Path(name)
        shims = Path(name) / "shims"
        shims.mkdir()
        for canary in CANARIES:
            (shims / canary).write_text(f"#!/bin/sh\n: > {base}/hits/{canary}\n", encoding="utf-8")
        (shims / "mywrap").write_text('#!/bin/sh\nexec "$@"\n', encoding="utf-8")
        for shim in shims.iterdir():
            shim.chmod(0o755)
        for program in () if sandboxed else HARMLESS:
            if found := shutil.which(program):
                (shims / program).symlink_to(found)
        python = os.path.realpath(sys.executable)
        argv = [python, "-I", str(INSIDE), str(base)]
        path = str(shims)
        if sandboxed:
            argv = [
                "bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp",
                *_shown_again(), "--dir", "/tmp/lab", "--ro-bind", str(shims), "/tmp/shims",
                "--unshare-all", "--die-with-parent", "--new-session", "--", *argv,
            ]  # fmt: skip
            path = "/tmp/shims:/usr/local/bin:/usr/bin:/bin"

        def run(texts: Sequence[str]) -> list[list[str]]:
            lines = "".join(json.dumps(text) + "\n" for text in texts)
            env = {"SHELL_PATH": path, "SHELL_PRIVATE": str(int(sandboxed)), "PATH": os.environ["PATH"]}
            done = subprocess.run(
                argv, input=lines, env=env, capture_output=True, text=True,
                check=True, timeout=len(texts) * 10 + 60,
            )  # fmt: skip
            return [json.loads(line) for line in done.stdout.splitlines()]

        yield run


def _shown_again() -> list[str]:
    """A checkout and an interpreter that lie below /tmp themselves."""
    places = {str(INSIDE.parent), sys.prefix, os.path.dirname(os.path.realpath(sys.executable))}
    return [word for place in sorted(places) if place.startswith("/tmp/") for word in ("--ro-bind", place, place)]


def work(count: int, seed: int, plant: str, sandboxed: bool, known: bool) -> tuple[dict[str, Counter[str]], list[str]]:
    """One process's share: counts by verdict, and the stories of what went wrong."""
    if plant:
        PLANTS[plant]()
    texts = Texts(Random(seed))
    counts: dict[str, Counter[str]] = {}
    stories: list[str] = []
    with laboratory(sandboxed) as run, tempfile.TemporaryDirectory(prefix="letta-shell-") as folder:
        root = f"{os.path.realpath(folder)}/w"
        prepare(Path(root))
        judge = policy(root)
        for begin in range(0, count, BATCH):
            batch = [made for _ in range(min(BATCH, count - begin)) if "\0" not in (made := texts.text())]
            if begin == 0 and known:
                batch = [json.loads(line) for line in KNOWN.read_text(encoding="utf-8").splitlines()] + batch
            for text, ran in zip(batch, run(batch), strict=True):
                verdict = judge.decide("Bash", ExecOperation(command=text, cwd=root)).verdict
                unseen = missed(text, root, ran)
                counter = counts.setdefault(verdict, Counter())
                counter["cases"] += 1
                counter["ran"] += bool(ran)
                counter[f"ran, {_PAST[verdict]}"] += bool(ran)
                counter["missed"] += bool(unseen)
                if unseen or (ran and verdict == "allow"):
                    stories.append(f"{verdict}, but {', '.join(ran)} ran: {text!r}")
    return counts, stories


_PAST = {"allow": "allowed", "ask": "asked", "deny": "denied"}


def run(
    count: int, seed: int, jobs: int, plant: str = "", *, sandboxed: bool = True
) -> tuple[dict[str, Counter[str]], list[str]]:
    """`count` texts in `jobs` processes."""
    if jobs <= 1:
        return work(count, seed, plant, sandboxed, count >= FULL)
    shares = [count // jobs + (index < count % jobs) for index in range(jobs)]
    total: dict[str, Counter[str]] = {}
    stories: list[str] = []
    with ProcessPoolExecutor(jobs) as pool:
        known = [count >= FULL and index == 0 for index in range(jobs)]
        seeds = [seed * 1000 + index for index in range(jobs)]
        for counts, told in pool.map(work, shares, seeds, [plant] * jobs, [sandboxed] * jobs, known):
            for name, counter in counts.items():
                total.setdefault(name, Counter()).update(counter)
            stories += told
    return total, stories


def _skips_process_substitutions() -> None:
    """The reader takes `<(…)` for a word, and so does the other parser."""
    shell_tree.differs = lambda *_: ""
    nested = Script.nested

    def skipping(self: Script, closing: str) -> None:
        before = len(self.steps)
        substitution = self.text[self.at - 2] in "<>"
        nested(self, closing)
        if substitution:
            del self.steps[before:]

    Script.nested = skipping


def _forgets_wrappers() -> None:
    """What `env` and the like run is not looked at."""
    # A fault planted in what is private; it takes any arguments.
    Unfolding._wrapper = lambda *_: None  # pyright: ignore[reportAttributeAccessIssue]


def _believes_quotes() -> None:
    """What stands in double quotes is taken for data."""
    Script._double = _to_the_quote
    shell_tree.differs = lambda *_: ""


def _to_the_quote(self: Script, out: Parts) -> None:
    close = self.text.find('"', self.at + 1)
    if close < 0:
        raise Unread("a quote is not closed")
    out.quote(self.text[self.at + 1 : close])
    self.at = close + 1


PLANTS: dict[str, Callable[[], None]] = {
    "substitution": _skips_process_substitutions,
    "wrapper": _forgets_wrappers,
    "quote": _believes_quotes,
}


def table(counts: dict[str, Counter[str]]) -> str:
    """Counts by verdict."""
    rows = [f"{'':10}" + "".join(f"{column:>14}" for column in COLUMNS)]
    whole: Counter[str] = Counter()
    for name in ("allow", "ask", "deny"):
        whole.update(counts.get(name, Counter()))
        rows.append(f"{name:10}" + "".join(f"{counts.get(name, Counter())[column]:>14,}" for column in COLUMNS))
    return "\n".join([*rows, f"{'all':10}" + "".join(f"{whole[column]:>14,}" for column in COLUMNS)])


def confines() -> bool:
    """Whether bubblewrap works here."""
    if shutil.which("bwrap") is None:
        return False
    trial = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all", "true"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


def main() -> int:
    """Exit code 0 only if nothing that was allowed ran a canary, and no reading missed one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--plant", choices=sorted(PLANTS), help="run with a fault, to see that it is found")
    parser.add_argument("--no-sandbox", action="store_true", help="run as where bubblewrap does not work")
    options = parser.parse_args()
    sandboxed = not options.no_sandbox and confines()
    if not sandboxed:
        print("bubblewrap does not work here: a PATH with a few harmless programs only", file=sys.stderr)
    began = time.monotonic()
    counts, stories = run(options.count, options.seed, options.jobs, options.plant or "", sandboxed=sandboxed)
    for story in stories[:20]:
        print(story, file=sys.stderr)
    print(table(counts))
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} s, {len(stories)} failures")
    return 1 if stories else 0


if __name__ == "__main__":
    sys.exit(main())
