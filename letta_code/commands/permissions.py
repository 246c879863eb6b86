"""/permissions: the rules about what may happen: listed, explained, given, taken back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable

from letta_code.agent.permissions import SCOPES, VERDICTS, Listing
from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.core.errors import UsageError
from letta_code.safety.rules import WHOSE, Rule
from letta_code.safety.taint import Taints
from letta_code.safety.terminal import visible

_SOURCES_SHOWN = 10
_BECAUSE = (
    "Because of it the network, writes outside the work tree and memory ask in spite of a rule, but for an exact rule "
    "of this conversation that you gave after it came, or where it is only what that very git command printed. Going "
    "back (`/rewind`) or a new conversation ends that."
)
_USAGE = "[why COMMAND | allow|ask|deny RULE [conversation|project|always] | remove RULE]"


@command("permissions", usage=_USAGE)
async def permissions(context: CommandContext, arguments: str) -> Outcome:
    """Show the rules in force, the mode and the sandbox; explain a decision; give a rule or take it back.

    `/permissions why git push` says what would happen to a command, by which rule, what it needs and what the sandbox
    gives; `why Read(~/.ssh/config)` does so for a file.  `/permissions allow Bash(npm test *) project` gives a rule,
    for this conversation if you say nothing else.  The order is deny, ask, allow; then the mode decides.
    """
    known = context.session.permissions
    word, _, rest = arguments.strip().partition(" ")
    rest = rest.strip()
    if not word:
        return Outcome(say=listed(await asyncio.to_thread(known.listing)))
    if word == "why":
        return Outcome(say=explained(await asyncio.to_thread(known.why, rest)))
    if word in VERDICTS and rest:
        rule, scope = _with_scope(rest)
        return Outcome(say=await asyncio.to_thread(known.give, word, rule, scope))
    if word == "remove" and rest:
        return Outcome(say=await asyncio.to_thread(known.remove, rest))
    raise UsageError(f"/permissions {visible(arguments.strip())[:60]}: what is meant?", hint=f"/permissions {_USAGE}")


def _with_scope(text: str) -> tuple[str, str]:
    """A rule and the scope that may stand behind it."""
    rule, _, last = text.rpartition(" ")
    return (rule.strip(), last) if rule and last in SCOPES else (text, "conversation")


def listed(listing: Listing) -> str:
    """What holds, as Markdown: the mode, the sandbox and each rule with where it is from."""
    lines = [f"- mode {listing.mode}", f"- sandbox: {listing.sandbox}"]
    lines += [f"- text from outside: {_sources(listing.taints)}. {_BECAUSE}"] if listing.taints else []
    if not listing.rules:
        return "\n".join([*lines, "", "There are no rules. `/permissions deny Bash(git push) always` gives one."])
    undo = "`/permissions remove RULE` takes one back; so does `letta-code permissions remove RULE`."
    return "\n".join([*lines, "", *rule_lines(listing.rules), "", undo])


def _sources(taints: Taints) -> str:
    """The newest sources; theirs may be names that somebody else chose, which are never markup."""
    newest = [visible(source).replace("`", "'") for source in reversed(taints.sources[-_SOURCES_SHOWN:])]
    more = len(taints.sources) - len(newest)
    return "; ".join(f"`{source}`" for source in newest) + (f"; and {more} more" if more else "")


def rule_lines(rules: Iterable[Rule]) -> list[str]:
    """A line for each rule."""
    return [f"- {rule.verdict} `{visible(rule.text)}` ({WHOSE[rule.source]})" for rule in rules]


def explained(lines: Iterable[str]) -> str:
    """A decision and what was weighed, as Markdown; the command's own words are never markup."""
    text = "\n".join(visible(line).replace("\n", " ⏎ ") for line in lines)
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", text)), 3)
    return f"{fence}text\n{text}\n{fence}"
