"""/model: which model answers."""

from __future__ import annotations

from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.wording import price, tokens
from letta_code.llm.model import ModelInfo


@command("model", usage="[NAME]")
async def change_model(context: CommandContext, arguments: str) -> Outcome:
    """Show the model, or use another one from the next step on.

    A name is `provider/model` or `endpoint/model`, as `letta-code models` lists them.  It is tried with one small call
    first; when that fails nothing is changed.
    """
    name = arguments.strip()
    session = context.session
    if not name:
        current = session.status.model
        said = f"The model is `{current}`{about(session.model_info)}." if current else "No model is configured."
        return Outcome(say=said, show="models")
    from letta_code.commands import trial

    seconds = await trial.call(name, context.settings)
    await session.set_model(name)
    tried = f" It answered in {seconds:.1f} s." if seconds else ""
    return Outcome(say=f"The model is `{name}`{about(session.model_info)}.{tried}")


def about(info: ModelInfo | None) -> str:
    """Window and prices in brackets, "" where nothing is known."""
    if info is None:
        return ""
    known: list[str] = []
    if info.window:
        known.append(f"{tokens(info.window)} tokens")
    if info.input_price is not None and info.output_price is not None:
        known.append(f"{price(info.input_price)} in and {price(info.output_price)} out a million tokens")
    return f" ({', '.join(known)})" if known else ""
