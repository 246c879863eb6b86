"""The lines of JSON that a program sends on stdin with `--input-format stream-json`.

One object a line, UTF-8.  `client_id` is free and makes sending idempotent: it comes back in the `user_message` or
`message_queued` event, which is told again where a message of this id was said before.  What is not understood is
answered with an `input_error` line and changes nothing.

    {"type":"user","text":"fix the test","client_id":"1"}          say something; queued while a run goes on
    {"type":"answer","request_id":"req-…","answer":{"kind":"approve"}}
    {"type":"answer","request_id":"req-…","answer":{"kind":"approve","remember":"project","pattern":"Bash(ls)"}}
    {"type":"answer","request_id":"req-…","answer":{"kind":"deny","message":"not that file","stop":false}}
    {"type":"answer","request_id":"req-…","answer":{"kind":"reply","text":"the second one"}}
    {"type":"interrupt"}                                           stop the run; the conversation goes on
    {"type":"mode","mode":"auto"}                                  plan, ask, auto or full
    {"type":"model","model":"anthropic/NAME"}                      from the next model call on

When stdin ends, open and later requests are answered as `unanswered`, the run and what is queued go on to their end,
and the process ends with the exit code of the last run.

stdout: first `{"type":"init",…}`, then every event (letta_code/core/events.py) as it happens, after each run one
`{"type":"result",…}` (headless/result.py).  The first answer to a request wins; a later one gets an `input_error`.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from letta_code.core.errors import UsageError
from letta_code.core.messages import Value
from letta_code.core.requests import Answer

PROTOCOL = 1


class SayInput(Value, tag_field="type", tag="user"):
    """A message to the agent."""

    text: str
    client_id: str = ""


class AnswerInput(Value, tag_field="type", tag="answer"):
    """The answer to a request."""

    request_id: str
    answer: Answer


class InterruptInput(Value, tag_field="type", tag="interrupt"):
    """Stop the run."""


class ModeInput(Value, tag_field="type", tag="mode"):
    """Change the mode."""

    mode: str


class ModelInput(Value, tag_field="type", tag="model"):
    """Change the model."""

    model: str


Input: TypeAlias = SayInput | AnswerInput | InterruptInput | ModeInput | ModelInput


class InitLine(Value, tag_field="type", tag="init", omit_defaults=False):
    """The first line of stream-json.

    `sandbox` is what is to hold commands: auto, bubblewrap, landlock, seatbelt, off (in mode full too), or "" where
    another process runs them.  Where less than all is held a `notice` of code sandbox says so as soon as
    that is known, on stderr alone where the run was quicker.
    """

    conversation_id: str
    agent_id: str
    model: str
    mode: str
    cwd: str
    version: str
    resumed: bool = False
    last_seq: int = 0  # events up to here happened before and are not repeated
    sandbox: str = ""
    protocol: int = PROTOCOL


class InputErrorLine(Value, tag_field="type", tag="input_error"):
    """A line of stdin that could not be followed; `line` counts from 1."""

    line: int
    message: str
    hint: str = ""


_decoder: msgspec.json.Decoder[Input] = msgspec.json.Decoder(Input)


def read_input(line: bytes) -> Input:
    """One line of stdin.  Raises `UsageError` that says what is wrong with it."""
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError as error:
        raise UsageError(f"The line was not understood: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"The line is not one JSON object: {error}.") from error
