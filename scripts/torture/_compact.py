"""Torture compaction: a conversation of thousands of messages with summaries good, bad and missing; then look."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))
sys.path.insert(0, str(HERE))

from _compact_model import KINDS, Request, Talker, rewritten  # noqa: E402 - after the path is set
from _compact_truth import Truth  # noqa: E402

from letta_code.agent.history import History  # noqa: E402
from letta_code.agent.place import Place  # noqa: E402
from letta_code.agent.port import SessionOptions  # noqa: E402
from letta_code.agent.recovery import recover  # noqa: E402
from letta_code.agent.session import Session  # noqa: E402
from letta_code.agent.start import StoredConversation  # noqa: E402
from letta_code.config.paths import Paths  # noqa: E402
from letta_code.config.settings import ContextSettings, ReflectionSettings, Settings  # noqa: E402
from letta_code.core import events as ev  # noqa: E402
from letta_code.core.ids import new_id  # noqa: E402
from letta_code.core.messages import text_of  # noqa: E402
from letta_code.core.requests import QuestionRequest, Reply  # noqa: E402
from letta_code.llm.model import ChatModel, ChatRequest  # noqa: E402
from letta_code.llm.tokens import TokenCounter  # noqa: E402
from letta_code.memory.opening import open_desk  # noqa: E402
from letta_code.safety.vault import Secrets  # noqa: E402
from letta_code.store.database import Store  # noqa: E402

LONG_RUN = 40  # steps
LIMIT = 14_000  # tokens; the head takes about 6,000 of them
SPEC = 6_000  # characters of a long request
FEW = 200  # messages for which there must have been a compaction

# Each must be 0.
WRONGS = {
    "lost": "rules, decisions, open tasks, changed files or the task in hand that a request has not before it",
    "not there": "events named for what a summary cut that do not hold it",
    "not found": "facts planted early that search or the tool conversation_search does not give with their event",
    "too few": f"a compaction for each {FEW} messages is the least",
    "over": "requests above the limit by more than what came last",
    "in vain": "compactions that left more than 80 % of what was there",
    "rewritten": "requests that do not begin with the one before, without a compaction between",
    "unbalanced": "requests with a call without its result, or the other way round",
    "differs": "conversations that are not the same after a resume",
    "wedged": "runs that did not end well",
    "not killed": "processes that did not die in the middle of a compaction, as they were to",
}


class Verdict:
    """Counts what is wrong; `findings` are the first few of each kind."""

    def __init__(self) -> None:
        self.wrongs: Counter[str] = Counter()
        self.findings: list[str] = []

    def find(self, kind: str, where: str) -> None:
        """Count one wrong thing."""
        self.wrongs[kind] += 1
        if self.wrongs[kind] <= 4:
            self.findings.append(f"{kind}: {' '.join(where.split())[:300]}")


class Life:
    """One conversation on a real store, closed and opened again from time to time."""

    def __init__(
        self, folder: Path, verdict: Verdict, kinds: tuple[str, ...], limit: int, conversation: str = ""
    ) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir(exist_ok=True)
        self.paths = Paths.find({**os.environ, "LETTA_HOME": str(folder / "home")}).ensure()
        self.verdict = verdict
        self.limit = limit
        self.truth = Truth()
        self.requests: list[Request] = []
        self.conversation = conversation or new_id("conv")
        self.model = Talker(kinds, self._seen)
        self.compacted: list[ev.ContextCompacted] = []
        self.agent = ""
        self.session: Session | None = None
        self._listening: asyncio.Task[None] | None = None

    async def open(self) -> Session:
        """Open the conversation as a start does, with the model of this torture."""
        paths = self.paths
        store = Store.open(
            paths.database,
            conversations_dir=paths.conversations,
            agents_dir=paths.agents,
            run_dir=paths.run,
            redactor=Secrets(),
        )
        self.agent = (await store.agents.ensure_default()).id
        lock = store.acquire_writer(self.conversation, "torture")
        history = History()
        history.extend(stored.event for stored in store.read(self.conversation))
        desk = open_desk(store, paths.home, self.agent, str(self.work), self.conversation)
        options = SessionOptions(
            cwd=str(self.work),
            settings=Settings(
                model="openai/torture",
                mode="full",
                retry_seconds=0.0,
                context=ContextSettings(compact_at_tokens=self.limit),
                reflection=ReflectionSettings(after_compaction=False, every_turns=0),
            ),
        )

        async def opened(name: str) -> ChatModel:
            return self.model

        session = Session(
            conversation_id=self.conversation,
            agent_id=self.agent,
            options=options,
            journal=StoredConversation(store, self.conversation, lock),
            history=history,
            surroundings=Place(options, paths, desk),
            open_model=opened,
            counter=TokenCounter(),
            store=store,
        )
        await recover(session)
        self._listening = asyncio.create_task(self._listen(session))
        self.session = session
        return session

    async def close(self) -> None:
        """Close it."""
        if self.session is not None and self._listening is not None:
            await self.session.close()
            await self._listening
            self.session = None

    async def reopen(self) -> Session:
        """Close and open again; the history must be the same."""
        before = self.session.history if self.session else History()
        await self.close()
        session = await self.open()
        for name in ("messages", "seqs", "facts", "pinned", "todo", "compaction", "usage"):
            if getattr(before, name) != getattr(session.history, name):
                self.verdict.find("differs", f"{name} at event {before.last_seq}")
        return session

    async def _listen(self, session: Session) -> None:
        """Answer questions and take down compactions, as a face would."""
        async for event in session.events(session.history.last_seq):
            match event:
                case ev.RequestMade(request=request):
                    choice = f"choice-{len(self.truth.decisions):03}"
                    await session.answer(request.request_id, Reply(text=choice), "torture")
                    if isinstance(request, QuestionRequest):
                        self.truth.decisions[f"{request.question} → {choice}"] = choice
                case ev.ContextCompacted():
                    self.compacted.append(event)
                case _:
                    pass

    def _seen(self, request: ChatRequest, seen: Request) -> None:
        self.requests.append(seen)
        number = len(self.requests)
        for lost in self.truth.lost(request):
            self.verdict.find("lost", f"request {number} after {len(self.compacted)} compactions: {lost}")
        if not seen.balanced:
            self.verdict.find("unbalanced", f"request {number}")
        if seen.tokens > self.limit + seen.newest:
            self.verdict.find("over", f"request {number}: {seen.tokens:,} of {self.limit:,}, newest {seen.newest:,}")

    async def say(self, session: Session, text: str) -> None:
        """Say something and wait for the end of the run."""
        self.truth.task = text
        await session.send(text)
        await self.end(session)

    async def end(self, session: Session) -> None:
        """Wait for the end of a run."""
        ended = await session.idle()
        if ended is None or ended.reason != "done":
            self.verdict.find("wedged", f"{ended.reason if ended else 'no end'}: {ended.error if ended else ''}")

    @property
    def messages(self) -> int:
        """Messages of the whole conversation so far, evicted ones too."""
        session = self.session
        return session.history.last_seq if session else 0


def _words(rng: random.Random, count: int) -> str:
    return " ".join(
        rng.choice(("table", "river", "signal", "window", "paper", "engine", "violet")) for _ in range(count)
    )


async def live(life: Life, messages: int, rng: random.Random, figures: dict[str, str]) -> None:
    """The conversation: so many messages, counted in the store."""
    session = await life.open()
    await _write_memory(session)
    (life.work / "notes.txt").write_text("\n".join(f"note {n}: {_words(rng, 12)}" for n in range(60)))
    for number in range(LONG_RUN):
        (life.work / f"part-{number}.txt").write_text(f"part {number}: {_words(rng, 80)}\n")
    turn = said = killed = 0
    while said < messages:
        await life.say(session, _message(life, turn, rng))
        turn += 1
        store = session.store
        if turn % 10 == 0:
            stored = store.read(life.conversation)
            said = sum(isinstance(s.event, ev.UserMessage | ev.AssistantMessage | ev.ToolResult) for s in stored)
        if turn % max(messages // 12, 20) == 0:
            session = await life.reopen()
        if messages >= 1_000 and turn % max(messages // 20, 20) == 30:
            session = await _killed(life, f"Turn {turn} dies. {_spec(turn)}{_long_work()}")
            killed += 1
    figures["messages"] = f"{said:,} in {turn} turns, {killed} processes killed in the middle of a compaction"
    await asyncio.to_thread(_look_for_facts, life)
    await _search_by_tool(life, session)
    _look_for_cut(life)
    if len(life.compacted) < said // FEW:
        life.verdict.find("too few", f"{len(life.compacted)} compactions for {said} messages")
    await life.close()


async def _write_memory(session: Session) -> None:
    """The head names rules and files that are to come: that does not keep them."""
    from letta_code.memory.edits import Append
    from letta_code.memory.provenance import USER, Provenance

    text = "\n".join([f"I read: {_rule(turn)} in made-{turn:03}.txt" for turn in (*_RULES, *_FILES)])
    edit = Append(label="human", text=text)
    await asyncio.to_thread(session.memory.blocks.apply, edit, Provenance(source=USER), approved=True)


async def _killed(life: Life, text: str) -> Session:
    """Say something in another process, which dies by SIGKILL in the middle of a summary; then go on with it."""
    await life.close()
    life.truth.task = text
    command = [sys.executable, __file__, "--die", str(life.folder), life.conversation, "--limit", str(life.limit)]
    done = await asyncio.to_thread(subprocess.run, command, input=text, text=True, capture_output=True, check=False)
    if done.returncode != -signal.SIGKILL:
        life.verdict.find("not killed", f"code {done.returncode}: {done.stderr[-300:]}")
    session = await life.open()
    if session.history.compactions != len(life.compacted):
        life.verdict.find("differs", f"{session.history.compactions} compactions, {len(life.compacted)} were seen")
    await session.resume()
    await life.end(session)
    return session


async def die(folder: Path, conversation: str, limit: int, text: str) -> None:
    """Say something and be killed in the middle of the first summary."""
    life = Life(folder, Verdict(), KINDS[:1], limit, conversation)
    life.model.on_summary = lambda: os.kill(os.getpid(), signal.SIGKILL)
    await life.say(await life.open(), text)


_RULES, _FILES = (2, 9, 30, 77), (6, 25, 60)


def _rule(turn: int) -> str:
    return f"Never rename the folder vault-{turn:03}."


def _spec(turn: int) -> str:
    lines = [f"Requirement {turn}-{n}: the part number {n} must have its own measure and name." for n in range(200)]
    text = "\n".join(lines)[:SPEC]
    return f"{text.rpartition(chr(10))[0]}\n"


def _long_work() -> str:
    """A run that is longer than the context, two calls a step."""
    return "".join(f" [read part-{number}.txt part-{number + 1}.txt]" for number in range(0, LONG_RUN, 2))


def _message(life: Life, turn: int, rng: random.Random) -> str:
    """The person's next message, with what it plants."""
    truth, orders = life.truth, []
    text = f"Turn {turn}: {_words(rng, rng.randrange(20, 160))}."
    if turn in _RULES:
        truth.rules.append(_rule(turn))
        text += f" {_rule(turn)}"
    if turn in (4, 40):
        orders.append(f"ask Which colour for part {turn}?")
    if turn in _FILES:
        truth.files.append(f"made-{turn:03}.txt")
        orders.append(f"write made-{turn:03}.txt")
    if turn in (8, 50):
        truth.todo = [f"finish part {turn}-{n}" for n in range(3)]
        orders.append("todo " + "|".join(truth.todo))
    if turn % 50 == 20:
        text += f"\n{_spec(turn)}{_long_work()}"
    if turn % 3 == 0:
        orders.append("read notes.txt")
    if turn < 12:
        value = f"zephyr-{rng.randrange(10**9):09}"
        truth.facts[value] = "user" if turn % 2 else "assistant"
        text += f" The code name of part {turn} is {value}." if turn % 2 else f" Please tell fact {value}"
    return text + "".join(f" [{order}]" for order in orders)


async def _search_by_tool(life: Life, session: Session) -> None:
    """Ask for each fact by the tool: the words of the question are in the context, the fact stands outside."""
    stored = {s.seq: s.event for s in session.store.read(life.conversation)}
    for value, role in life.truth.facts.items():
        before = session.history.last_seq
        await life.say(session, f"What was said of {value}? [search {value}]")
        results = [s.event for s in session.store.read(life.conversation, before) if isinstance(s.event, ev.ToolResult)]
        text = text_of(results[0].content) if results else ""
        places = [int(seq) for seq in re.findall(rf"{life.conversation}#(\d+) \(this conversation\) · {role}", text)]
        if not any(value in str(stored.get(seq)) for seq in places):
            life.verdict.find("not found", f"{value} by the tool: {text[:200]}")


def _look_for_cut(life: Life) -> None:
    """What a summary cut must stand whole at the event that it names."""
    session = life.session
    stored = {s.seq: s.event for s in session.store.read(life.conversation)} if session else {}
    for seq, text in life.truth.cut.items():
        event = stored.get(seq)
        if not isinstance(event, ev.UserMessage) or text_of(event.content).strip() != text.strip():
            life.verdict.find("not there", f"event {seq} for {text[:60]}")


def _look_for_facts(life: Life) -> None:
    session = life.session
    if session is None or session.desk is None:
        return
    stored = {s.seq: s.event for s in session.store.read(life.conversation)}
    first_kept = life.compacted[-1].first_kept_seq if life.compacted else 0
    for value, role in life.truth.facts.items():
        hits = [one for one in session.desk.recall.search(value).found if one.role == role]
        right = [one for one in hits if value in str(stored.get(one.seq)) and one.conversation_id == life.conversation]
        if not right or right[0].seq >= first_kept:
            life.verdict.find("not found", f"{value}, said by {role}")


def _check(life: Life) -> None:
    for number in rewritten(life.requests):
        life.verdict.find("rewritten", f"request {number}")
    for event in life.compacted:
        if event.tokens_after > 0.8 * event.tokens_before + 1:
            life.verdict.find("in vain", f"event {event.seq}: {event.tokens_before:,} → {event.tokens_after:,}")


# ---------------------------------------------------------------- planted faults


def _no_check() -> None:
    """What a summary lost is not put back."""
    from letta_code.agent.compacting import standing

    standing.missing = lambda items, summary, head: ()


def _anywhere() -> None:
    """A name that occurs anywhere, in a sentence or in the head, passes for what must be kept."""
    from letta_code.agent.compacting import standing

    standing.missing = lambda items, summary, head: tuple(i for i in items if i.text not in summary + head)


def _short_requests() -> None:
    """What the person asked for is cut without a word."""
    from msgspec.structs import replace

    from letta_code.agent.compacting import must_keep

    def cut(found: Sequence[must_keep.Item], count: object, room: int) -> must_keep.Kept:
        return must_keep.Kept(items=tuple(replace(item, text=item.text[:1_000]) for item in found))

    must_keep.choose_requests = cut


def _late() -> None:
    """The limit is half as high again as it was set."""
    from letta_code.agent.compacting.limits import Limits

    of = Limits.of
    Limits.of = lambda self, info: of(self, info) * 3 // 2


def _moving_head() -> None:
    """The instructions carry the time."""
    from msgspec.structs import replace

    from letta_code.agent.context import Context

    request = Context.request
    Context.request = lambda self, **options: replace(
        request(self, **options), system=f"{request(self).system}\n{time.time()}"
    )


def _torn() -> None:
    """The cut parts calls from their results."""
    from letta_code.agent.compacting.cut import _Parts
    from letta_code.core.messages import ToolText

    def places(self: _Parts, *, unanswered: bool) -> list[int]:
        return [at for at, message in enumerate(self._messages) if isinstance(message, ToolText)]

    _Parts.places = places


def _no_fallback() -> None:
    """A summary that failed fails the run."""
    from letta_code.agent.compacting.summary import Task
    from letta_code.agent.compacting.writing import Writer, Written
    from letta_code.core.errors import Overloaded

    def cut(self: Writer, task: Task, why: str) -> Written:
        raise Overloaded(why)

    Writer._cut = cut


def _evicted_for_good() -> None:
    """What left the context leaves the search too: only messages of the person are indexed."""
    from letta_code.memory import recall

    spoken = recall.spoken
    recall.spoken = lambda event: None if isinstance(event, ev.AssistantMessage) else spoken(event)


def _eager() -> None:
    """A compaction is made whether it wins anything or not, and keeps nearly all."""
    from letta_code.agent.compacting import cut

    cut.SHRINK = 2.0
    cut._USUAL_TAILS = (0.95,)


def _forgetful_resume() -> None:
    """A resume does not take in the head that a compaction pinned."""
    extend = History.extend

    def forgetting(self: History, events: Iterable[ev.Event]) -> None:
        extend(self, [event for event in events if not isinstance(event, ev.ContextPinned) or not event.reason])

    History.extend = forgetting


PLANTS: dict[str, Callable[[], None]] = {
    "no-check": _no_check,
    "anywhere": _anywhere,
    "short-requests": _short_requests,
    "late": _late,
    "moving-head": _moving_head,
    "torn": _torn,
    "no-fallback": _no_fallback,
    "evicted-for-good": _evicted_for_good,
    "eager": _eager,
    "forgetful-resume": _forgetful_resume,
}


def main() -> int:
    """Run it and print the table; 1 when anything that must be 0 is not."""
    parser = argparse.ArgumentParser(prog="scripts/torture/compact", description=__doc__)
    parser.add_argument("messages", nargs="?", type=int, default=2_000, help="length of the conversation (2000)")
    parser.add_argument("--limit", type=int, default=LIMIT, help=f"tokens at which it is compacted ({LIMIT})")
    parser.add_argument("--summaries", choices=[*KINDS, "all"], default="all", help="what kind the model writes")
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--plant", choices=sorted(PLANTS), help="run with a fault, to see that it is found")
    parser.add_argument("--die", nargs=2, metavar=("FOLDER", "ID"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # each bad summary is logged
    if options.die:
        folder, conversation = options.die
        asyncio.run(die(Path(folder), conversation, options.limit, sys.stdin.read()))
        return 1
    if options.plant:
        PLANTS[options.plant]()
    kinds = KINDS if options.summaries == "all" else (options.summaries,)
    verdict, figures, began = Verdict(), dict[str, str](), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="letta-compact-") as folder:
        life = Life(Path(folder), verdict, kinds, options.limit)
        asyncio.run(live(life, options.messages, random.Random(options.seed), figures))
    _check(life)
    _print(life, figures, time.monotonic() - began, options.plant)
    return 1 if verdict.wrongs.total() else 0


def _print(life: Life, figures: dict[str, str], seconds: float, plant: str | None) -> None:
    done = life.compacted
    figures["requests"] = f"{len(life.requests):,}, the longest {max(r.tokens for r in life.requests):,} tokens"
    methods = Counter(event.method for event in done)
    figures["compactions"] = f"{len(done)}: " + ", ".join(f"{count} by {name}" for name, count in methods.items())
    figures["summaries"] = ", ".join(f"{count} {name}" for name, count in life.model.made.items())
    figures["items"] = f"{sum(len(e.kept) for e in done)} survived, {sum(len(e.put_back) for e in done)} were put back"
    figures["tasks"] = f"{life.truth.only_in_block:,} times an open task stood in its block only"
    figures["cut"] = f"{len(life.truth.cut)} long requests had no room and say so"
    if done:
        share = sum(event.tokens_after / event.tokens_before for event in done) / len(done)
        figures["left"] = f"{share:.0%} of the context on average"
    print(f"compaction at {life.limit:,} tokens, {seconds:.0f} s{f', planted {plant}' if plant else ''}")
    for name, figure in figures.items():
        print(f"{name:14}{figure}")
    for name, meaning in WRONGS.items():
        print(f"{name:14}{life.verdict.wrongs[name]:6}   {meaning}")
    for finding in life.verdict.findings:
        print(f"  {finding}")


if __name__ == "__main__":
    sys.exit(main())
