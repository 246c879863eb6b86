"""Trusting: the question about the folder in lines, before a conversation is opened."""

from __future__ import annotations

import asyncio

from letta_code.agent.folder_trust import TrustQuestion
from letta_code.agent.port import SessionOptions
from letta_code.core.counts import many
from letta_code.plain.reader import Reader
from letta_code.plain.say import say
from letta_code.safety.terminal import visible
from letta_code.safety.trust import choice, shown

_SCREEN = 15  # lines


async def ask(reader: Reader, question: TrustQuestion) -> SessionOptions | None:
    """The options after the person's answer; None when they leave, or their input has ended."""
    standing = await asyncio.to_thread(question.standing)
    place = visible(standing.root)
    question_line = f"What decides how I work in {place} has changed." if standing.news else f"Do you trust {place}?"
    say(question_line)
    say("These files of the folder decide what I do. Trust them if you know who wrote them.")
    there = shown(standing)
    for thing in there:
        say(f"- {thing.title}")
        for line in thing.lines:
            say(f"    {line}")
        if thing.more:
            say(f"    … {many(thing.more, 'line')} more")
    if sum(len(thing.lines) + 1 for thing in there) > _SCREEN:  # the question has gone out of sight
        say(f"{question_line} ({there[0].title})")
    means = choice(standing)
    for line in (f"1. Trust it: {means.yes}.", f"2. Work without it: {means.no}.", "3. Leave."):
        say(line)
    while True:
        try:
            text = (await reader.line("Answer 1 to 3: ")).strip()
        except (EOFError, KeyboardInterrupt):
            return None
        if text in ("1", "2"):
            options, notices = await asyncio.to_thread(question.answer, trusted=text == "1")
            for notice in notices:
                say(f"{notice.level}: {visible(notice.text)}")
            return options
        if text == "3":
            return None
