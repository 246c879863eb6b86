"""Thinking: one reading of a transcript with a model, within a budget of tokens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from letta_code.agent.context import Counter
from letta_code.agent.reflecting.asking import (
    Answer,
    Said,
    ask,
    instructions,
    memory_text,
    question,
    read_answer,
    second_question,
)
from letta_code.agent.reflecting.reading import Reading, read
from letta_code.core import events as ev
from letta_code.core.errors import LettaError
from letta_code.core.messages import Usage, Value
from letta_code.llm.model import ChatModel
from letta_code.memory.block import BlockError
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import ApplyPatch
from letta_code.memory.patch import read_patch
from letta_code.memory.proposals import check_proposal
from letta_code.memory.provenance import Provenance
from letta_code.memory.view import View

OUTPUT_SHARE = 5  # a fifth of the budget is for the answer, reasoning included
FRAME = 250  # tokens of the sentences around blocks and transcript
SECOND = 1_500  # tokens of an answer and of what is wrong with it, in a second question
MOST_PROBLEMS = 4_000  # characters of what is wrong with an answer
LEAST = 500  # tokens of transcript that are worth a request
_NEITHER = "it is neither the word NOTHING nor a patch that begins with `*** Begin Patch`."
_ENDS = {
    "length": "it was cut off at the output limit: change less, in fewer words.",
    "refusal": "it was refused.",
}


class Thought(Value):
    """What came of a reading: a patch ("" for nothing) on the state `base`, and what a person would be asked."""

    answer: Answer
    reading: Reading
    base: str = ""
    asks: tuple[str, ...] = ()


class Unusable(LettaError):
    """The model's answer cannot be used, twice."""

    kind = "reflection"


class Thinking:
    """One reflection's use of a model: `usage` and `cost` add up over its requests, whatever comes of them.

    `budget` bounds input and output of all requests together, in tokens.
    """

    def __init__(
        self, model: ChatModel, blocks: Blocks, by: Provenance, counter: Counter, *, budget: int, where: str
    ) -> None:
        self.usage = Usage()
        self.cost: float | None = None
        self._model = model
        self._blocks = blocks
        self._by = by
        self._counter = counter
        window = model.info.window
        self._budget = min(budget, window * 9 // 10) if window else budget
        self._where = where
        self._system = instructions()
        self._today = time.strftime("%Y-%m-%d")

    def count(self, text: str) -> int:
        """Tokens of a text, rather too many than too few: as long as nothing is counted exactly, 3 bytes are one."""
        return self._counter.count(text) if self._counter.exact else len(text.encode("utf-8", "replace")) // 3 + 1

    async def think(self, events: Sequence[ev.Event], waiting: str = "", focus: str = "") -> Thought:
        """Read the events with the model.

        Raises `ProviderError` where it cannot be reached, `Unusable` when its answer fits twice not, and `LettaError`
        when the blocks leave no room.
        """
        view = await asyncio.to_thread(self._blocks.view)
        memory = memory_text(view)
        reading = read(events, self._room(memory, waiting + focus), self.count)
        text = question(
            today=self._today,
            where=self._where,
            memory=memory,
            transcript=reading.text,
            waiting=waiting,
            focus=focus,
        )
        said = await self._ask(text, self._budget // OUTPUT_SHARE)
        try:
            return await self._thought(said, reading, view)
        except BlockError as error:
            problem = str(error)
        view = await asyncio.to_thread(self._blocks.view)  # somebody may have written meanwhile
        text = second_question(today=self._today, memory=memory_text(view), answer=said.text, problem=problem)
        left = self._left() - self.count(self._system) - self.count(text)
        if left < LEAST:
            raise Unusable(f"The model's answer could not be used, and the budget is spent: {problem}")
        said = await self._ask(text, left)
        try:
            return await self._thought(said, reading, view)
        except BlockError as error:
            raise Unusable(f"The model's answer could not be used: {error}") from error

    def _left(self) -> int:
        return self._budget - self.usage.input - self.usage.output

    def _room(self, memory: str, more: str) -> int:
        """Tokens for the transcript: what the rest of the first request, its answer and a second one leave."""
        fixed = self.count(self._system) + self.count(memory) + FRAME
        first = self._budget - fixed - self.count(more) - self._budget // OUTPUT_SHARE
        room = first - fixed - SECOND
        if room < LEAST:
            room = first  # without a second request, then
        if room < LEAST:
            raise LettaError(
                f"The blocks take {fixed} of the {self._budget} tokens that a reflection may cost: nothing is left to "
                "read with.",
                hint="Shorten the blocks, or raise reflection.budget_tokens.",
            )
        return room

    async def _ask(self, text: str, most: int) -> Said:
        info = self._model.info
        limit = min(most, info.max_output) if info.max_output else most
        said = await ask(
            self._model,
            self._system,
            text,
            max_output=limit,
            conversation_id=self._by.conversation,
            cut_off=self._spend,
        )
        counted = Usage(input=self.count(self._system) + self.count(text), output=self.count(said.text))
        self._spend(said.usage or counted)
        return said

    def _spend(self, used: Usage) -> None:
        self.usage = self.usage.plus(used)
        cost = self._model.info.cost(used)
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost

    async def _thought(self, said: Said, reading: Reading, view: View) -> Thought:
        """Raises `BlockError` for an answer that cannot be used."""
        if said.finish in _ENDS:
            raise BlockError(_ENDS[said.finish])
        answer = read_answer(said.text)
        if answer is None:
            raise BlockError(_NEITHER)
        if not answer.patch:
            return Thought(answer=answer, reading=reading)
        check_proposal(answer.patch, view)
        asks = await asyncio.to_thread(self._asks, answer.patch, str(view.pin))
        return Thought(answer=answer, reading=reading, base=str(view.pin), asks=asks)

    def _asks(self, patch: str, base: str) -> tuple[str, ...]:
        """What a person would be asked about a patch; raises `BlockError` with all that is wrong with it."""
        try:
            return self._blocks.preview(ApplyPatch(patch=patch), self._by, base=base).why
        except BlockError as error:
            found = [str(error)]
            for edit in read_patch(patch):
                try:
                    self._blocks.preview(edit, self._by, base=base)
                except BlockError as another:
                    found.append(str(another))
            raise BlockError("\n".join(dict.fromkeys(found))[:MOST_PROBLEMS]) from error
