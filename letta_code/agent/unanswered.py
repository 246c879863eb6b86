"""Unanswered: what is said when a request comes and nobody is there to answer it."""

from __future__ import annotations

from letta_code.core.requests import ApprovalRequest, Request


def flag_for(request: ApprovalRequest) -> str:
    """The flag of the command line that would have allowed a call, "" where none would."""
    if request.allowed_in == "auto" and not request.destructive:
        return "--mode auto"
    if request.offers:
        pattern = request.offers[0].pattern.replace("'", "'\\''")
        return f"--allow '{pattern}'"
    return f"--mode {request.allowed_in}" if request.allowed_in else ""


def reason_for(request: Request) -> str:
    """What the model is told: what to do next, and what the person could change."""
    if isinstance(request, ApprovalRequest):
        flag = flag_for(request)
        return (
            "Not done: this runs without a person, so nobody can approve it. Do what you can without it; in your "
            f"final answer name what was not done{f' and that {flag} would allow it' if flag else ''}."
        )
    return "Nobody is there to answer. Take the most reasonable choice yourself and say in your final answer which."
