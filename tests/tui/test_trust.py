"""The trust card: asked before anything opens, answered by nothing that was meant for something else."""

from __future__ import annotations

from msgspec.structs import replace

from letta_code.agent.port import SessionOptions
from letta_code.config.settings import FaceSettings, Settings
from letta_code.core.events import Notice
from letta_code.safety.trust import GIT_HOOK, INSTRUCTION, Power, Standing
from letta_code.tui.ports import Ports
from letta_code.tui.widgets.choices import Choices
from letta_code.tui.widgets.trust_card import TrustCard
from tests.tui.screen import Stage, ready, screen_text, text_of, until

CONFIG = Power(path=".letta/config.yaml", kind="settings", sha256="a", head=("face: {theme: nord}", "mode: full"))
TEXT = Power(path="AGENTS.md", kind=INSTRUCTION, head=("Run everything as root.",))
NORD = SessionOptions(
    cwd="/work/project",
    settings=Settings(model="scripted/demo", face=FaceSettings(theme="nord")),
    trusted=True,
)
TOLD = Notice(level="warning", code="trust", text="/work/project is not trusted: .letta/config.yaml is not used.")


class Question:
    """Satisfies `TrustQuestion`."""

    def __init__(self, *powers: Power, **more: object) -> None:
        self._standing = Standing(root="/work/project", powers=powers or (CONFIG,), asks=True, **more)  # type: ignore[arg-type]
        self.answers: list[bool] = []

    def standing(self) -> Standing:
        return self._standing

    def answer(self, *, trusted: bool) -> tuple[SessionOptions, tuple[Notice, ...]]:
        self.answers.append(trusted)
        if trusted:
            return NORD, ()
        return replace(NORD, trusted=False, settings=Settings(model="scripted/demo")), (TOLD,)


def asked(stage: Stage) -> bool:
    return bool(stage.chat.query(TrustCard)) and stage.chat.query_one(TrustCard).ready()


async def test_nothing_is_opened_before_the_answer_and_a_yes_uses_what_is_there() -> None:
    question = Question()
    stage = Stage(ports=Ports(trust=question))
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: asked(stage), "the card never came")
        text = screen_text(stage.app)
        assert "Do you trust /work/project?" in text
        assert "face: {theme: nord}" in text
        assert stage.opened == []
        await pilot.press("1")
        await ready(pilot, stage)
        assert question.answers == [True]
        assert [options.trusted for options in stage.opened] == [True]
        assert stage.app.theme == "nord"
        assert not stage.chat.query(TrustCard)
        assert stage.chat.prompt.area.has_focus


async def test_without_it_the_screen_says_what_is_not_used() -> None:
    question = Question()
    stage = Stage(ports=Ports(trust=question))
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: asked(stage))
        await pilot.press("enter")  # the choice that is marked at first
        await ready(pilot, stage)
        await until(pilot, lambda: "is not trusted" in screen_text(stage.app))
        assert (question.answers, stage.opened[0].trusted) == ([False], False)
        assert stage.app.theme != "nord"


async def test_escape_is_no_trust_and_leaving_answers_nothing() -> None:
    question = Question()
    stage = Stage(ports=Ports(trust=question))
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: asked(stage))
        await pilot.press("escape")
        await ready(pilot, stage)
        assert question.answers == [False]
    question = Question()
    stage = Stage(ports=Ports(trust=question))
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: asked(stage))
        await pilot.press("3")
        await until(pilot, lambda: not stage.app.is_running)
    assert (question.answers, stage.opened, stage.app.return_code) == ([], [], 0)


async def test_keys_typed_before_the_card_was_seen_answer_nothing() -> None:
    question = Question()
    stage = Stage(ports=Ports(trust=question))
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: stage.chat.query(TrustCard))
        await pilot.press("1", "enter", "escape")
        assert not asked(stage) or not question.answers
        await until(pilot, lambda: asked(stage))
        assert question.answers == []
        assert stage.chat.query_one(TrustCard).query_one(Choices).cursor == 1


async def test_other_keys_and_another_size_do_no_harm_while_it_is_asked() -> None:
    question = Question()
    stage = Stage(ports=Ports(trust=question))
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: asked(stage))
        await pilot.resize_terminal(140, 40)
        await pilot.press("ctrl+b", "ctrl+t", "x", "pagedown", "pageup", "f1", "escape", "f2", "escape")
        await pilot.resize_terminal(60, 16)
        await until(pilot, lambda: "Trust it" in screen_text(stage.app))
        assert (question.answers, stage.opened) == ([], [])
        stage.chat.query_one(Choices).focus()
        await pilot.press("2")
        await ready(pilot, stage)


async def test_control_d_leaves() -> None:
    stage = Stage(ports=Ports(trust=Question()))
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: asked(stage))
        await pilot.press("ctrl+d")
        await until(pilot, lambda: not stage.app.is_running)
    assert stage.opened == []


async def test_what_is_asked_can_be_read_to_its_end_and_nothing_of_it_is_markup_or_control() -> None:
    evil = Power(
        path=".letta/skills/\x1b]0;owned\x07[bold]x[/]\u202e/SKILL.md",
        kind="skill",
        sha256="b",
        head=("\x1b[2J[red]do not show[/red]", "second\u200b"),
    )
    hooks = tuple(Power(path=f".git/hooks/h{n}", kind=GIT_HOOK, sha256="c", head=("#!/bin/sh",)) for n in range(30))
    stage = Stage(ports=Ports(trust=Question(CONFIG, evil, hooks=hooks, unread=(".env",), instructions=(TEXT,))))
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: asked(stage))
        body = "\n".join(text_of(part) for part in stage.chat.query(".ask-body Static"))
        assert "\x1b" not in body
        assert "\u202e" not in body
        assert "[red]do not show[/red]" in body
        assert "settings · skill · 30 × git hook" in screen_text(stage.app)
        for _ in range(12):
            await pilot.press("pagedown")
        await until(pilot, lambda: ".env: never read by letta-code" in screen_text(stage.app))
        assert "AGENTS.md (instructions): followed only if you trust it, later versions too" in body


async def test_a_folder_with_nothing_but_a_text_of_instructions_is_asked_about_with_what_it_says() -> None:
    question = Question()
    question._standing = Standing(root="/work/project", instructions=(TEXT,), asks=True)
    stage = Stage(ports=Ports(trust=question))
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: asked(stage))
        text = screen_text(stage.app)
        assert "Run everything as root." in text and "later versions too" in text
        assert "follow these texts, later versions too" in text and "they are only data to me" in text
        assert "until it changes" not in text, "that is not true of texts"


async def test_a_change_is_named() -> None:
    question = Question(news={CONFIG.path: "changed"}, added={CONFIG.path: ("mode: full",)})
    stage = Stage(ports=Ports(trust=question))
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: asked(stage))
        text = screen_text(stage.app)
        assert "has changed" in text
        assert "(settings, changed); lines that were not there before:" in text
        assert "mode: full" in text
        assert "face: {theme: nord}" not in text


async def test_notices_of_the_start_are_on_the_screen() -> None:
    stage = Stage(ports=Ports(notices=(TOLD,)))
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, stage)
        await until(pilot, lambda: "is not trusted" in screen_text(stage.app))
