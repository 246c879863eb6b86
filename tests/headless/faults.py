"""Every provider fault, what the scripted server answers for it, and what a headless run has to make of it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tests.fakes.model_server import ModelServer, Reply

DONE = Reply(text="All is well.")
LONG = "One two three four five six seven eight nine ten."


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault.

    `retry` is the budget for retries in seconds; `says` must all stand on stderr; `asked` is the number of requests
    that the server must have seen (0: any); `dead` closes the server first; `seconds` is how long it takes at least.
    """

    name: str
    replies: tuple[Reply, ...] = ()
    code: int
    says: tuple[str, ...]
    answer: str = ""
    asked: int = 0
    retry: float = 1.2
    first_part: float | None = None
    flags: tuple[str, ...] = ()
    dead: bool = False
    seconds: float = 0.0


class Outcome(msgspec.Struct, frozen=True):
    """What came of it."""

    code: int
    stdout: str
    stderr: str
    asked: int
    seconds: float
    url: str


def _refused(status: int, message: str, code: str = "", **headers: str) -> Reply:
    return Reply(
        status=status, message=message, code=code, headers={name.replace("_", "-"): v for name, v in headers.items()}
    )


FAULTS: tuple[Fault, ...] = (
    Fault(
        name="429 with Retry-After, then it works",
        replies=(_refused(429, "slow down", retry_after="1"), DONE),
        code=0,
        answer="All is well.",
        says=("waiting 1 s, then try 2", "slow down"),
        asked=2,
    ),
    Fault(
        name="429 without end",
        replies=(_refused(429, "slow down"),) * 50,
        code=75,
        says=("waiting", "error:", "slow down", "It was tried"),
    ),
    Fault(
        name="429 with a Retry-After longer than the budget",
        replies=(_refused(429, "come back tomorrow", retry_after="86400"),) * 2,
        code=75,
        says=("error:", "come back tomorrow"),
        asked=1,
    ),
    Fault(
        name="500, then it works",
        replies=(_refused(500, "oops"), DONE),
        code=0,
        answer="All is well.",
        says=("then try 2", "oops"),
        asked=2,
    ),
    Fault(
        name="503 without end", replies=(_refused(503, "maintenance"),) * 50, code=75, says=("error:", "maintenance")
    ),
    Fault(
        name="529 overloaded without end", replies=(_refused(529, "overloaded"),) * 50, code=75, says=("overloaded",)
    ),
    Fault(
        name="hard quota",
        replies=(_refused(429, "You exceeded your current quota", code="insufficient_quota"),) * 2,
        code=75,
        says=("error:", "quota"),
        asked=1,
    ),
    Fault(
        name="402, no money left",
        replies=(_refused(402, "Insufficient credits"),) * 2,
        code=75,
        says=("error:", "Insufficient credits"),
        asked=1,
    ),
    Fault(
        name="401, bad key",
        replies=(_refused(401, "Incorrect API key provided: sk-bench"),) * 2,
        code=1,
        says=("error:", "key"),
        asked=1,
    ),
    Fault(
        name="404, unknown model",
        replies=(_refused(404, "The model `fake` does not exist", code="model_not_found"),) * 2,
        code=1,
        says=("error:", "does not exist"),
        asked=1,
    ),
    Fault(
        name="400, context overflow",
        replies=(_refused(400, "maximum context length is 8192 tokens", code="context_length_exceeded"),) * 2,
        code=1,
        says=("error:",),
        asked=1,
    ),
    Fault(name="dead endpoint", code=75, says=("error:", "127.0.0.1", "could not be reached"), dead=True),
    Fault(name="hangs up before any answer", replies=(Reply(fault="hang_up"),) * 50, code=75, says=("error:",)),
    Fault(
        name="no first part within the endpoint's limit",
        replies=(Reply(text="late", first_byte=30),) * 9,
        first_part=1.0,
        retry=1.0,
        code=75,
        says=("error:", "1 s"),
    ),
    Fault(
        name="cut in the middle, then it works",
        replies=(Reply(text=LONG, fault="cut", after=3), DONE),
        code=0,
        answer="All is well.",
        says=(),
        asked=2,
    ),
    Fault(
        name="cut in the middle twice",
        replies=(Reply(text=LONG, fault="cut", after=3),) * 4,
        code=75,
        says=("error:",),
        asked=2,
    ),
    Fault(
        name="an error object inside the stream, twice",
        replies=(Reply(text=LONG, fault="error", after=3, message="engine died"),) * 4,
        code=75,
        says=("error:", "engine died"),
        asked=2,
    ),
    Fault(
        name="what is no JSON inside the stream, twice",
        replies=(Reply(text=LONG, fault="garbage", after=3),) * 4,
        code=75,
        says=("error:",),
        asked=2,
    ),
    Fault(
        name="the stream ends politely in the middle, twice",
        replies=(Reply(text=LONG, fault="end", after=3),) * 4,
        code=75,
        says=("error:",),
        asked=2,
    ),
    Fault(
        name="a web page instead of an answer",
        replies=(Reply(body="<html>Welcome to nginx</html>", content_type="text/html"),) * 2,
        code=1,
        says=("error:",),
    ),
    Fault(
        name="only comments after the first part (alive; --time-limit ends it)",
        replies=(Reply(text=LONG, fault="comments", after=3),),
        flags=("--time-limit", "3s"),
        code=4,
        says=("error:", "time limit"),
        asked=1,
    ),
    Fault(
        name="the answer is cut at the output limit",
        replies=(Reply(text=LONG, finish="length"),) * 9,
        code=1,
        answer=LONG * 3,  # asked to go on twice, and what came stands as one text
        says=("error:", "output limit"),
    ),
    Fault(
        name="silent for 60 s after the first part, then it works",
        replies=(Reply(text=LONG, fault="stall", after=3), DONE),
        code=0,
        answer="All is well.",
        says=(),
        asked=2,
        seconds=60,
    ),
    Fault(
        name="silent for 60 s after the first part, twice",
        replies=(Reply(text=LONG, fault="stall", after=3),) * 4,
        code=75,
        says=("error:", "60 s"),
        asked=2,
        seconds=120,
    ),
)


def play(fault: Fault, command: Iterable[str] = (sys.executable, "-I", "-m", "letta_code")) -> Outcome:
    """One real `letta-code -p` process against the scripted server, in a home and folder of its own."""
    with tempfile.TemporaryDirectory(prefix="letta-fault-") as scratch, ModelServer(fault.replies) as server:
        url = "http://127.0.0.1:9/v1" if fault.dead else f"{server.url}/v1"  # nothing listens on the discard port
        home = Path(scratch, "home")
        home.mkdir(mode=0o700)
        limit = "" if fault.first_part is None else f"    first_part_seconds: {fault.first_part}\n"
        (home / "config.yaml").write_text(
            f"model: fake/fake\nretry_seconds: {fault.retry}\nendpoints:\n  fake:\n    base_url: {url}\n{limit}"
        )
        (home / "credentials.yaml").write_text("fake: sk-bench\n")
        (home / "credentials.yaml").chmod(0o600)
        env = {**os.environ, "LETTA_HOME": str(home), "NO_PROXY": "127.0.0.1"}
        began = time.monotonic()
        done = subprocess.run(
            [*command, "-p", "Say that all is well.", *fault.flags],
            cwd=scratch,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=fault.seconds + 60,
            check=False,
        )
        asked = sum(request.method == "POST" for request in server.requests)
        return Outcome(done.returncode, done.stdout, done.stderr, asked, time.monotonic() - began, url)


def wrong(fault: Fault, outcome: Outcome) -> list[str]:
    """What is not as it should be, in words; nothing when all is."""
    found: list[str] = []
    if outcome.code != fault.code:
        found.append(f"exit code {outcome.code} instead of {fault.code}")
    if outcome.stdout.strip() != fault.answer:
        found.append(f"stdout {outcome.stdout!r}")
    found += [f"stderr does not say {words!r}" for words in fault.says if words not in outcome.stderr]
    if fault.asked and outcome.asked != fault.asked:
        found.append(f"{outcome.asked} requests instead of {fault.asked}")
    if "sk-bench" in outcome.stderr + outcome.stdout:
        found.append("the key is shown")
    if "Traceback" in outcome.stderr:
        found.append("a traceback")
    return found


def last_words(outcome: Outcome) -> str:
    """The line of stderr that says how it ended: the error, else the last one."""
    lines = outcome.stderr.strip().splitlines()
    errors = [line for line in lines if line.startswith("error:")]
    return (errors or lines or ["(nothing)"])[-1]
