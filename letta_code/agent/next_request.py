"""Next request: what a model would be sent now, as JSON that a person can read or keep."""

from __future__ import annotations

import msgspec

from letta_code.agent.head import encode_specs
from letta_code.llm.model import ChatModel, ChatRequest, TellsBytes


def request_json(request: ChatRequest, model: ChatModel | None) -> bytes:
    """The very bytes where the model's client can tell them, else the same in letta-code's own form."""
    if isinstance(model, TellsBytes):
        return model.body(request)
    own = {
        "system": request.system,
        "tools": msgspec.Raw(encode_specs(request.tools).encode()),
        "messages": list(request.messages),
        "max_output": request.max_output,
        "conversation_id": request.conversation_id,
    }
    return msgspec.json.encode(own)
