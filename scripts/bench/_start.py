"""How long letta-code takes to start: whole processes, measured from outside, beside a bare httpx client."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _measure import (
    BENCH,
    LETTA,
    PYTHON,
    Run,
    Server,
    Table,
    clean_environment,
    endpoint_home,
    median,
    model_server,
    own_memory,
    run,
)

ROUNDS = 15
PROMPT = "Say done."


def main(rounds: int) -> int:
    """Print the table; 0 when every gate held."""
    with tempfile.TemporaryDirectory(prefix="letta-bench-") as scratch:
        folder = Path(scratch)
        project = folder / "project"
        project.mkdir()
        table = Table(f"start of letta-code: whole processes, medians of {rounds} rounds, interleaved")
        _version(table, folder, rounds)
        with model_server([{"text": "done", "repeat": 10_000}], folder / "server") as server:
            _first_request(table, server, folder, rounds)
        return table.code


def _version(table: Table, folder: Path, rounds: int) -> None:
    env = clean_environment(folder)
    kinds = {
        "python -I -c pass": [PYTHON, "-I", "-c", "pass"],
        "letta-code --version": [LETTA, "--version"],
        "python -I -m letta_code --version": [PYTHON, "-I", "-m", "letta_code", "--version"],
    }
    took: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, argv in kinds.items():
            took[name].append(run(argv, env, folder).seconds * 1000)
    bare, installed, module = (median(took[name]) for name in kinds)
    table.line("python -I -c pass", f"{bare:.1f} ms")
    table.line("letta-code --version", f"{installed:.1f} ms", "at most 40 ms", installed <= 40)
    table.line("python -I -m letta_code --version", f"{module:.1f} ms", "at most 40 ms", module <= 40)


def _first_request(table: Table, server: Server, folder: Path, rounds: int) -> None:
    project = folder / "project"
    environment = clean_environment(
        folder / "by-variables",
        LETTA_MODEL="openai/fake",
        OPENAI_BASE_URL=f"{server.url}/v1",
        OPENAI_API_KEY="sk-bench",
    )
    endpoint_home(folder / "by-files", server.url)
    files = clean_environment(folder / "by-files")
    # The first run makes the home and gives the bytes that the bare clients send.
    for env in (environment, files):
        _checked(run([LETTA, "-p", PROMPT], env, project))
    body = server.requests()[-1]["body"]
    bare = [PYTHON, "-I", str(BENCH / "_null_client.py")]
    target = [f"{server.url}/v1/chat/completions", body]
    kinds = {
        "bare httpx.Client": ([*bare, "sync", *target], environment),
        "bare httpx.AsyncClient": ([*bare, "async", *target], environment),
        "letta-code -p (key and model in variables)": ([LETTA, "-p", PROMPT], environment),
        "letta-code -p (config.yaml and credentials.yaml)": ([LETTA, "-p", PROMPT], files),
    }
    first: dict[str, list[float]] = {name: [] for name in kinds}
    whole: dict[str, list[Run]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, (argv, env) in kinds.items():
            server.forget()
            done = _checked(run(argv, env, project))
            first[name].append((server.requests()[0]["at"] - done.began) * 1000)
            whole[name].append(done)
    least = first["bare httpx.Client"]
    for name in kinds:
        # Of one round both figures are from the same moment of a machine that others use as well.
        ratio = median(mine / yours for mine, yours in zip(first[name], least, strict=True))
        gate, good = ("at most 1.5x httpx.Client", ratio <= 1.5) if name.startswith("letta") else ("", None)
        table.line(f"start to first request: {name}", f"{median(first[name]):.1f} ms {ratio:4.2f}x", gate, good)
    for name in kinds:
        table.line(f"whole run: {name}", f"{median(one.seconds for one in whole[name]) * 1000:.1f} ms")
    for name in kinds:
        memory = max(one.memory for one in whole[name])
        gate, good = ("at most 80 MB", memory <= 80) if name.startswith("letta") else ("", None)
        table.line(f"peak memory: {name}", f"{memory:.1f} MB", gate, good)
    table.line("(this bench, below which no peak can be seen)", f"{own_memory():.1f} MB")


def _checked(done: Run) -> Run:
    if done.code != 0:
        raise SystemExit(f"a measured process failed with {done.code}:\n{done.output}")
    return done


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
