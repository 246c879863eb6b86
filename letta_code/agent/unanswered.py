"""Unanswered: what is said when a request comes and nobody is there to answer it."""

from __future__ import annotations

from letta_code.core.requests import ApprovalRequest, Request
from letta_code.safety.taint import MAY_HAVE_ASKED

_LAST = "(--mode full allows it: it asks nothing and has no sandbox, so only in a container that you can throw away.)"


def flag_for(request: ApprovalRequest) -> str:
    """The flag of the command line that would have allowed a call, "" where none would but `--mode full`.

    That one allows everything else as well: it is no advice for a single call, and the model never names it.
    """
    if MAY_HAVE_ASKED in request.reason:
        return ""  # no rule of a flag holds against it
    if request.allowed_in == "auto" and not request.destructive:
        return "--mode auto"
    if request.offers:
        pattern = request.offers[0].pattern.replace("'", "'\\''")
        return f"--allow '{pattern}'"
    return "--mode auto" if request.allowed_in == "auto" else ""


def advice_for(request: ApprovalRequest, conversation_id: str) -> str:
    """What a person can do so that a call is made: a rule or a milder mode, else to be asked; `full` comes last."""
    if flag := flag_for(request):
        return f"{flag} would allow it"
    again = f"letta-code --resume {conversation_id}" if conversation_id else "letta-code --continue"
    asked = f"No rule is offered for it; {again} goes on where you can be asked."
    return f"{asked} {_LAST}" if request.allowed_in == "full" else asked


def reason_for(request: Request) -> str:
    """What the model is told: what to do next, and what the person could change."""
    if isinstance(request, ApprovalRequest):
        flag = flag_for(request)
        return (
            "Not done: this runs without a person, so nobody can approve it. Do what you can without it; in your "
            f"final answer name what was not done{f' and that {flag} would allow it' if flag else ''}."
        )
    return "Nobody is there to answer. Take the most reasonable choice yourself and say in your final answer which."
