"""The house keeps its plan: imports, what is loaded when, file lengths, and the rules that no linter knows."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import warnings
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pexpect
import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*(ROOT / "letta_code").rglob("*.py"), *(ROOT / "terminalbench").rglob("*.py")])
CONTRACT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]

# Aim for files under 400 lines; over 600 there is surely a second thing in it.
LONG, TOO_LONG = 400, 600


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


# --- arrows point down


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """The import contract, checked on the packages in a folder."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_import_contract_is_kept() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


def test_the_import_contract_sees_wrong_imports(tmp_path: Path) -> None:
    for package in CONTRACT["root_packages"]:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = {
        "letta_code/core/planted.py": "from letta_code.agent import port",
        "letta_code/commands/planted.py": "import letta_code.tui",
        "letta_code/headless/planted.py": "import letta_code.plain\nimport textual.app",
        "letta_code/tools/planted.py": "def late() -> None:\n    import subprocess",
        "letta_code/agent/planted.py": "import httpx\nimport apsw",
        "letta_code/workspace/planted.py": "import git\nimport tree_sitter",
    }
    for path, text in planted.items():
        (tmp_path / path).write_text(text, encoding="utf-8")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    for wrong in [
        "letta_code.core.planted -> letta_code.agent",
        "letta_code.commands.planted -> letta_code.tui",
        "letta_code.headless.planted -> letta_code.plain",
        "letta_code.headless.planted -> textual",
        "letta_code.tools.planted -> subprocess",
        "letta_code.agent.planted -> httpx",
        "letta_code.agent.planted -> apsw",
        "letta_code.workspace.planted -> tree_sitter",
        "letta_code.workspace.planted -> git",
    ]:
        assert wrong in done.stdout


def test_every_room_stands_on_a_floor() -> None:
    [layers] = [contract["layers"] for contract in CONTRACT["contracts"] if contract["type"] == "layers"]
    named = {name.strip(" ()") for layer in layers for name in layer.split("|")}
    rooms = {f"letta_code.{path.parent.name}" for path in (ROOT / "letta_code").glob("*/__init__.py")}
    modules = {f"letta_code.{path.stem}" for path in (ROOT / "letta_code").glob("*.py")} - {"letta_code.__init__"}
    assert rooms | modules <= named


def test_processes_start_only_in_host() -> None:
    """What the import contract cannot see: starting a process through asyncio or os."""
    starters = re.compile(r"^(create_subprocess_(exec|shell)|system|popen|posix_spawnp?|fork|forkpty|spawn[lv]p?e?)$")
    found = [
        f"{name_of(path)}:{node.lineno} {node.value.id}.{node.attr}"
        for path in SOURCES
        if "letta_code/host/" not in name_of(path)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("asyncio", "os")
        and starters.match(node.attr)
    ]
    assert not found


# --- what is loaded when: the app writes sorted(sys.modules), one a line, to $LETTA_DEBUG_MODULES

# Third-party packages that may be there; everything else that is not the standard library comes later.
FIRST_REQUEST = {
    "anyio",
    "apsw",
    "certifi",
    "h11",
    "httpcore",
    "httpx",
    "idna",
    "msgspec",
    "sniffio",
    "typing_extensions",
}
FIRST_FRAME = {
    "apsw",
    "linkify_it",
    "markdown_it",
    "mdit_py_plugins",
    "mdurl",
    "msgspec",
    "pathspec",
    "platformdirs",
    "pygments",
    "rapidfuzz",
    "rich",
    "textual",
    "textual_speedups",
    "tree_sitter",  # textual's text area takes it where it is installed (1 ms); the grammars come later
    "typing_extensions",
    "uc_micro",
}
# Parts of the standard library that cost milliseconds and that nothing on the way needs.
SLOW_STANDARD = {"multiprocessing", "sqlite3", "unittest", "xml", "pydoc", "doctest", "distutils", "lib2to3"}

# What only a call that is judged, a command, a search, a write to archival memory, a full context, a quiet moment, a
# crash, a run in the background, a rewind or a database that lost something needs.
LATER = {
    "letta_code.agent.background",
    "letta_code.agent.changed_files",
    "letta_code.agent.compaction",
    "letta_code.agent.recovery",
    "letta_code.agent.rewinding",
    "letta_code.host.detached",
    "letta_code.memory.archival",
    "letta_code.memory.recall",
    "letta_code.safety.examples",
    "letta_code.safety.hosts",
    "letta_code.safety.policy",
    "letta_code.safety.shell_syntax",
    "letta_code.safety.shell_unfold",
    "letta_code.store.text_index",
}


def foreign(modules: Iterable[str]) -> set[str]:
    """Top-level names that are neither ours, nor the standard library's, nor the interpreter's own."""
    tops = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"letta_code"}
    return {top for top in tops if not top.startswith("_")}


def command_line_exists() -> bool:
    return hasattr(importlib.import_module("letta_code.cli"), "main")


needs_command_line = pytest.mark.skipif(not command_line_exists(), reason="letta_code.cli.main is not written yet")


class ScriptedProvider(BaseHTTPRequestHandler):
    """Chat completions that always stream the word "done"."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(
            b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"done"}}]}\n\n'
            b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
            b"data: [DONE]\n\n"
        )

    def log_message(self, format: str, *args: object) -> None:
        """Silent: the tests read stderr of the program only."""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The base URL of a provider on loopback, also set where the app looks for it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), ScriptedProvider) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("LETTA_MODEL", "openai/scripted")
        yield url
        server.shutdown()


@needs_command_line
def test_modules_at_the_first_headless_request(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = tmp_path / "modules"
    monkeypatch.setenv("LETTA_DEBUG_MODULES", str(listing))
    done = subprocess.run(
        [sys.executable, "-I", "-m", "letta_code", "-p", "hello"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
    modules = set(listing.read_text(encoding="utf-8").split())
    assert "letta_code.agent.loop" in modules
    assert foreign(modules) - FIRST_REQUEST == set()
    assert modules & SLOW_STANDARD == set()
    assert modules & LATER == set()
    assert not [name for name in modules if name.startswith(("letta_code.tui", "letta_code.plain"))]


@needs_command_line
def test_modules_at_the_first_frame(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = tmp_path / "modules"
    monkeypatch.setenv("LETTA_DEBUG_MODULES", str(listing))
    monkeypatch.setenv("TERM", "xterm-256color")
    project = tmp_path / "project"
    project.mkdir()
    app = pexpect.spawn(
        sys.executable, ["-I", "-m", "letta_code"], cwd=str(project), dimensions=(24, 80), timeout=30, encoding="utf-8"
    )
    screen = ""
    try:
        deadline = time.monotonic() + 30
        while not (listing.exists() and listing.stat().st_size) and time.monotonic() < deadline and app.isalive():
            try:
                screen += app.read_nonblocking(65536, timeout=0.1)
            except (pexpect.TIMEOUT, pexpect.EOF):
                continue
    finally:
        app.close(force=True)
    assert listing.exists(), f"no first frame; the screen got: {screen[-2000:]}"
    modules = set(listing.read_text(encoding="utf-8").split())
    assert "textual.app" in modules
    assert foreign(modules) - FIRST_FRAME == set()
    assert modules & SLOW_STANDARD == set()
    assert modules & LATER == set()
    assert not [name for name in modules if name.startswith(("letta_code.headless", "letta_code.plain"))]


def test_version_imports_nothing() -> None:
    """--version answers before anything is imported, also before `re` or `pathlib`."""
    program = (
        "import sys; before = set(sys.modules); sys.argv = ['letta-code', '--version']\n"
        "from letta_code.__main__ import main; code = main()\n"
        "print(*sorted(set(sys.modules) - before)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    version, loaded = done.stdout.splitlines()
    assert re.fullmatch(r"letta-code \d+\.\d+\.\d+", version)
    assert loaded.split() == ["letta_code", "letta_code.__main__"]


@needs_command_line
def test_a_project_cannot_shadow_modules(tmp_path: Path) -> None:
    """`python -m letta_code` in a folder with its own json.py or msgspec.py runs ours."""
    for name in ("json", "msgspec", "asyncio"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the {name}.py of the project ran')", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "letta_code", "--help"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- rules that no linter knows


def test_files_are_short() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    long = {name: lines for name, lines in lengths.items() if lines > LONG}
    for name, lines in sorted(long.items()):
        warnings.warn(f"{name} has {lines} lines (aim: under {LONG}): is there a second thing in it?", stacklevel=1)
    assert {name: lines for name, lines in long.items() if lines > TOO_LONG} == {}


@pytest.mark.parametrize("room", ["agent", "core", "llm", "store", "tools"])
def test_these_rooms_never_print(room: str) -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in sorted((ROOT / "letta_code" / room).rglob("*.py"))
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not found


def test_every_module_says_what_it_is() -> None:
    assert [name_of(path) for path in SOURCES if not ast.get_docstring(tree_of(path))] == []


def test_names_say_what_a_thing_is() -> None:
    """No utils module, no Manager, Helper or Mixin class: such a name stands for "several things"."""
    modules = [name_of(path) for path in SOURCES if re.search(r"(^|_)(utils?|helpers?|misc|common)$", path.stem)]
    classes = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef) and re.search(r"(Manager|Helper|Mixin|Utils?)$", node.name)
    ]
    assert modules + classes == []


SILENCED = re.compile(r"#\s*(noqa\b(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)?|(type|pyright):\s*ignore(\[[^]]*\])?)(?P<rest>.*)$")


def unexplained(text: str) -> list[int]:
    """Numbers of lines that silence a check and give no reason behind it or in a comment line above."""
    lines = text.splitlines()
    return [
        number
        for number, line in enumerate(lines, start=1)
        if (silenced := SILENCED.search(line))
        and not re.search(r"\w{3}", silenced["rest"])
        and not (number > 1 and lines[number - 2].lstrip().startswith("#"))
    ]


def test_silenced_checks_have_their_reason() -> None:
    found = [f"{name_of(path)}:{line}" for path in SOURCES for line in unexplained(path.read_text(encoding="utf-8"))]
    assert not found


def test_unexplained_sees_what_it_should() -> None:
    text = (
        "a = 1  # noqa: F401\n"
        "b = 2  # noqa: F401  imported for its registration\n"
        "c = 3  # type: ignore[x]\n"
        "# the stub is wrong: it returns None\n"
        "d = 4  # pyright: ignore[reportX]\n"
    )
    assert unexplained(text) == [1, 3]
