"""What the model reads about a command in the sandbox: what ended with it, which limit it passed, what was found."""

from __future__ import annotations

from pathlib import Path

from letta_code.safety.sandboxes.limits import Limits
from letta_code.tools.bash import Bash
from tests.sandbox.ground import Ground, works
from tests.tools.context import FakeContext

pytestmark = works
bash = Bash()


async def test_what_ended_with_a_command_is_told(ground: Ground) -> None:
    context = FakeContext(ground.workspace)
    text = await context.text(bash, command="sleep 61 & echo up")
    assert text == ("up\n[1 process it left behind was ended with it; start it with background=true to let it run]")
    assert await context.text(bash, command="sleep 0.01 & wait; echo up") == "up"


async def test_a_planted_repository_is_told(ground: Ground) -> None:
    text = await FakeContext(ground.workspace).text(
        bash, command="mkdir -p s/.git/hooks; echo x > s/.git/hooks/pre-push; chmod +x s/.git/hooks/pre-push"
    )
    assert text.startswith(
        "(no output)\n[sandbox: the new repository s/.git has hooks (pre-push); they were switched off"
    )


async def test_a_passed_limit_is_told_first(tmp_path: Path) -> None:
    ground = Ground(tmp_path.resolve(), limits=Limits(processes=20))
    text = await FakeContext(ground.workspace).text(bash, command="for i in {1..40}; do sleep 62 & done; wait")
    assert text.startswith("Killed with everything it had started: it had more than 20 processes at the same time.\n")
    await ground.workspace.close()


async def test_the_folder_is_kept_between_confined_calls(ground: Ground) -> None:
    context = FakeContext(ground.workspace)
    assert await context.text(bash, command="mkdir sub; cd sub") == f"(no output)\n[now in {ground.root}/sub]"
    assert await context.text(bash, command="pwd") == f"{ground.root}/sub"
