"""Trust: whether a folder's own settings, servers, skills and hooks may be used; asked once, pinned to hashes.

What has power is what decides what letta-code does: a fixed list of places (`FILES`, `FOLDERS`), and texts that the
model is told to follow (`INSTRUCTIONS`).  `.env` and `.envrc` are not among them, since letta-code never reads them,
trusted or not.  A folder without anything of power is the person's own work and asks nothing.

Consent to `FILES` and `FOLDERS` is to exact bytes, so it does not matter whether the folder is still the same one:
another that was moved to the same path has the same power, or it is asked about.  Consent to instructions is to the
folder: they change with every pull and by the agent's own hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from letta_code.core.counts import many
from letta_code.core.events import Notice
from letta_code.core.messages import Value
from letta_code.safety.terminal import visible

# Relative to the top of the project, the folder worked in, and every one between them.
FILES: Mapping[str, str] = {
    ".letta/config.yaml": "settings",
    ".letta/mcp.json": "MCP servers",
    ".mcp.json": "MCP servers",
}
FOLDERS: Mapping[str, str] = {
    ".letta/skills": "skill",
    ".letta/commands": "command",
    ".letta/hooks": "hook",
    ".letta/agents": "agent",
}
NEVER_READ = (".env", ".envrc")
INSTRUCTIONS = ("AGENTS.md", "CLAUDE.md")
INSTRUCTION = "instructions"
GIT_HOOK = "git hook"
_MANY, _FEW = 16, 4  # lines that are shown of settings, servers and texts, and of what comes in many files

News: TypeAlias = Literal["new", "changed", "known"]


class Power(Value):
    """One file that decides what letta-code does.

    `path` is relative to the project's top, `kind` what it is (`settings`, `MCP servers` …), `sha256` of its bytes, ""
    where it cannot be read or is a link to a folder: nothing pins that, so it is never used.  `head` are its first
    lines, for the person; `lines` short digests of them, so that a change can be shown without keeping the text.
    `rest` counts the lines behind them; `ignored` are names of settings that are not used whatever is answered: their
    lines are not in `head`.
    """

    path: str
    kind: str
    sha256: str = ""
    head: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    rest: int = 0
    ignored: tuple[str, ...] = ()


class Seen(Value):
    """A file as it was when the person answered."""

    sha256: str
    lines: tuple[str, ...] = ()


class Consent(Value):
    """What a person said of one folder: `files` by path; `hooks` are the repository's own, by path, with their hash.

    `trusted` None: only hooks were answered about.  `texts`: there were instructions to be seen when it was said: later
    ones are meant as well.  `wrote` are instructions that the agent itself made here, with their hash.
    """

    root: str
    trusted: bool | None = None
    files: dict[str, Seen] = msgspec.field(default_factory=dict[str, Seen])
    hooks: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    texts: bool = False
    wrote: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    at: str = ""


class Standing(Value):
    """How a folder stands: `trusted` says whether what is its own may be used; `asks` that the person is to be asked.

    `powers` is what there is, `news` what is new or changed of it since the last answer, by path; `hooks` are hooks of
    the repository (they are asked about when a git command would run them, and shown here); `unread` names files that
    are never read (.env) and `instructions` are texts such as AGENTS.md, without a hash until somebody reads them.
    """

    root: str
    powers: tuple[Power, ...] = ()
    trusted: bool = False
    asks: bool = False
    news: dict[str, News] = msgspec.field(default_factory=dict[str, News])
    added: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict[str, tuple[str, ...]])
    hooks: tuple[Power, ...] = ()
    unread: tuple[str, ...] = ()
    instructions: tuple[Power, ...] = ()
    notices: tuple[Notice, ...] = ()  # about the file with the answer, for the person

    @property
    def pinned(self) -> tuple[Power, ...]:
        """What an answer is about."""
        return tuple(power for power in self.powers if power.sha256)


def judge(root: str, powers: Sequence[Power], consent: Consent | None, instructions: Sequence[Power] = ()) -> Standing:
    """How a folder with these files stands after what the person said of it last."""
    pinned = [power for power in powers if power.sha256]
    bare = Standing(root=root, powers=tuple(powers), instructions=tuple(instructions))
    said = consent.trusted if consent is not None else None
    own = consent.wrote if consent is not None else {}
    seen = consent is not None and consent.texts
    strange = not seen and any(one.path not in own for one in instructions)
    if consent is None or said is None:
        asks = bool(pinned) or strange
        return replace(bare, trusted=not asks, asks=asks)
    if not pinned and not said:
        return replace(bare, trusted=not instructions)
    news: dict[str, News] = {}
    added: dict[str, tuple[str, ...]] = {}
    for power in pinned:
        before = consent.files.get(power.path)
        if before is None:
            news[power.path] = "new"
        elif before.sha256 != power.sha256:
            news[power.path] = "changed"
            added[power.path] = _added(before, power)
    if news:
        return replace(bare, asks=True, news=news, added=added)
    asks = said and strange
    return replace(bare, trusted=said and not asks, asks=asks)


def _added(before: Seen, now: Power) -> tuple[str, ...]:
    """The lines that were not there before."""
    known = set(before.lines)
    return tuple(line for line, digest in zip(now.head, now.lines, strict=False) if digest not in known)


def consent_to(standing: Standing, *, trusted: bool, before: Consent | None, at: str) -> Consent:
    """The person's answer about what stands there now; with a yes the hooks that were shown are meant too."""
    # Files of other folders of this project stay as they were answered, where the answer is the same.
    kept = dict(before.files) if before is not None and before.trusted == trusted else {}
    files = {power.path: Seen(sha256=power.sha256, lines=power.lines) for power in standing.pinned}
    hooks = dict(before.hooks) if before is not None else {}
    if trusted:
        hooks |= {hook.path: hook.sha256 for hook in standing.hooks if hook.sha256}
    wrote = before.wrote if before is not None else {}
    texts = bool(standing.instructions)
    return Consent(
        root=standing.root, trusted=trusted, files={**kept, **files}, hooks=hooks, texts=texts, wrote=wrote, at=at
    )


def unconsented(hooks: Sequence[Power], consent: Consent | None) -> tuple[str, ...]:
    """Paths of the hooks that the person has not seen as they are now."""
    known = consent.hooks if consent is not None else {}
    return tuple(hook.path for hook in hooks if not hook.sha256 or known.get(hook.path) != hook.sha256)


def names(powers: Sequence[Power], most: int = 4) -> str:
    """The files for one line: `.mcp.json, .letta/config.yaml and 3 more`; whole folders where they hold many."""
    shown: dict[str, int] = {}
    for power in powers:
        top = next((folder for folder in FOLDERS if f"/{power.path}".find(f"/{folder}/") >= 0), "")
        name = power.path[: f"/{power.path}".find(f"/{top}/") + len(top)] + "/" if top else power.path
        shown[name] = shown.get(name, 0) + 1
    listed = [visible(name) for name in shown]
    if len(listed) > most:
        return f"{', '.join(listed[:most])} and {len(listed) - most} more"
    return " and ".join(filter(None, (", ".join(listed[:-1]), listed[-1]))) if listed else ""


class Shown(Value):
    """One thing for the person: what it is, and lines of it; `more` says how many lines are left out."""

    title: str
    lines: tuple[str, ...] = ()
    more: int = 0


def shown(standing: Standing) -> list[Shown]:
    """All there is for the person who is asked, the news first; hidden and control characters are written out."""
    known = [power for power in standing.pinned if standing.news and power.path not in standing.news]
    news = [power for power in standing.pinned if power not in known]
    found = [Shown(title=_counted((*news, *standing.hooks, *standing.instructions)))]
    for power in (*news, *standing.hooks):
        found.append(_shown(power, standing))
        if power.ignored:
            found.append(Shown(title=f"{visible(power.path)}: {_unused(power.ignored)}"))
    if known:
        found.append(Shown(title=f"{names(known)}: as you know {'it' if len(known) == 1 else 'them'}"))
    if unpinned := [power for power in standing.powers if not power.sha256]:
        found.append(Shown(title=f"{names(unpinned)}: cannot be pinned, and is not used whatever you answer"))
    found += (_text(power, read=len(known) + len(news) > 0) for power in standing.instructions)
    for name in standing.unread:
        found.append(Shown(title=f"{visible(name)}: never read by letta-code, whatever you answer"))
    return found


def _text(power: Power, *, read: bool) -> Shown:
    """A text of instructions: more of it where it is what the question is about."""
    lines = [visible(line) for line in power.head if line.strip()]
    most = _FEW if read else _MANY
    title = f"{visible(power.path)} (instructions): followed only if you trust it, later versions too"
    return Shown(title=title, lines=tuple(lines[:most]), more=max(len(lines) - most, 0) + power.rest)


def _counted(powers: Sequence[Power]) -> str:
    """`settings · 2 × MCP servers · 15 × git hook`: what kinds of files there are, before each of them."""
    counts: dict[str, int] = {}
    for power in powers:
        counts[power.kind] = counts.get(power.kind, 0) + 1
    return " · ".join(f"{count} × {kind}" if count > 1 else kind for kind, count in counts.items())


def _shown(power: Power, standing: Standing) -> Shown:
    news = standing.news.get(power.path, "")
    title = f"{visible(power.path)} ({', '.join(filter(None, (power.kind, news)))})"
    if added := standing.added.get(power.path, ()):
        return Shown(title=f"{title}; lines that were not there before:", lines=tuple(visible(line) for line in added))
    lines = [visible(line) for line in power.head]
    most = _MANY if power.kind in FILES.values() else _FEW
    return Shown(title=title, lines=tuple(lines[:most]), more=max(len(lines) - most, 0) + power.rest)


def _unused(keys: Sequence[str], most: int = 12) -> str:
    named = [visible(key[:40]) for key in keys[:most]]
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return f"{', '.join(named)}{more} {'is' if len(keys) == 1 else 'are'} ignored, whatever you answer"


class Choice(Value):
    """What an answer means, for its line: `yes` and `no`."""

    yes: str
    no: str


def choice(standing: Standing) -> Choice:
    """What trusting this folder and working without it mean."""
    if not standing.pinned:
        return Choice(yes="follow these texts, later versions too", no="they are only data to me; remembered")
    no = "but its deny and ask rules hold" if _settings(standing) else "nothing of it is used"
    return Choice(yes="use this; asked again when it changes", no=f"{no}; asked again on a change")


def not_used(standing: Standing) -> str:
    """One line for a folder that is not trusted: what of it is not used, and why; "" where nothing is ignored."""
    if standing.trusted or not (standing.powers or standing.instructions):
        return ""
    changed = [power for power in standing.powers if power.path in standing.news]
    since = f"{names(changed)} changed since you answered for {visible(standing.root)}" if changed else ""
    parts: list[str] = []
    if standing.powers:
        but = ", but its deny and ask rules and limits hold" if _settings(standing) else ""
        parts.append(f"{names(standing.powers)} {_are(standing.powers)} not used{but}")
    if standing.instructions:
        parts.append(f"{names(standing.instructions)} {_are(standing.instructions)} only data to the agent")
    if standing.hooks:
        parts.append(f"{many(len(standing.hooks), GIT_HOOK)} of its own: asked about before git runs one")
    if standing.unread:
        are = "is" if len(standing.unread) == 1 else "are"
        parts.append(f"{' and '.join(map(visible, standing.unread))} {are} never read")
    return f"{since or f'{visible(standing.root)} is not trusted'}: {'; '.join(parts)}."


def _settings(standing: Standing) -> bool:
    return any(power.kind == FILES[".letta/config.yaml"] for power in standing.powers)


def _are(powers: Sequence[Power]) -> str:
    return "is" if len(powers) == 1 else "are"
