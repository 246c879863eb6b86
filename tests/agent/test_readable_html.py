"""A conversation as one page for a browser."""

from __future__ import annotations

from html.parser import HTMLParser

from msgspec.structs import replace

from letta_code.agent.readable_html import html
from letta_code.core.display import DiffBlock
from letta_code.core.events import (
    AssistantMessage,
    Event,
    Notice,
    RequestAnswered,
    RunFinished,
    ToolResult,
    UserMessage,
)
from letta_code.core.messages import TextPart, ToolCall
from letta_code.core.requests import Deny
from tests.agent.test_readable import AT, ROW

_ALLOWED = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "h1",
    "h2",
    "small",
    "dl",
    "dt",
    "dd",
    "section",
    "div",
} | {"details", "summary", "pre", "span", "p"}
_VOID = {"meta"}


class Page(HTMLParser):
    """What a browser would make of it: tags, attributes, the text that is shown."""

    def __init__(self, *events: Event, title: str = "A title") -> None:
        super().__init__()
        self.source = "\n".join(html(replace(ROW, title=title), events))
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def parts(text: str) -> tuple[TextPart, ...]:
    return (TextPart(text=text),)


def everywhere(text: str) -> tuple[Event, ...]:
    """The text in every place that comes from outside."""
    diff = DiffBlock(path=text, diff=f"@@ -1 +1 @@\n-{text}\n+{text}\n {text}")
    return (
        UserMessage(seq=1, at=AT, message_id="m", content=parts(text)),
        AssistantMessage(
            seq=2,
            at=text,
            message_id="a",
            model=text,
            text=text,
            tool_calls=(ToolCall(id="c", name=text, arguments=text),),
        ),
        ToolResult(message_id="t", call_id="c", name=text, title=text, status=text, content=parts(text)),
        ToolResult(message_id="u", call_id="c", name=text, status="ok", content=parts(text), blocks=(diff,)),
        RequestAnswered(request_id="q", answer=Deny(message=text)),
        RunFinished(reason=text, error=text),
        Notice(level=text, text=text),
    )


def test_what_was_said_and_done_is_there_and_calls_are_folded() -> None:
    page = Page(*everywhere("plain words\nof two lines"))
    assert page.open == []
    assert page.tags.count("section") == 2
    assert page.tags.count("details") == 3
    assert page.text.count("plain words\nof two lines") == 5  # said, answered, arguments, result, in the diff
    assert "+plain words" in page.text


def test_nothing_from_outside_becomes_markup_or_is_loaded() -> None:
    hostile = (
        "</pre></div></section></details></title></style></script><script>alert(1)</script>"
        "<img src=x onerror=alert(1)><a href='javascript:1'>\" onclick=\"x' onload='y <!-- ]]> &lt;b&gt; &#60;i&#62;"
    )
    page = Page(*everywhere(hostile), title=hostile)
    assert set(page.tags) <= _ALLOWED
    assert page.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class", "id"}
    assert page.open == []
    assert hostile in page.text  # and it can still be read, letter for letter
    assert "default-src 'none'" in page.source
    assert page.source.count("Content-Security-Policy") == 1


def test_controls_and_signs_that_reorder_are_not_in_the_page() -> None:
    page = Page(*everywhere("a\x1b[31mb\x1b]0;title\x07\x00c\u202edesrever\u2066\u200bz\ud800"), title="t\u202ex")
    assert not set(page.source) & set("\x1b\x07\x00\u202e\u2066\u200b\ud800")
    assert "abc‹U+202E›desrever‹U+2066›‹U+200B›z" in page.text
    page.source.encode("utf-8")


def test_a_long_result_is_cut_and_says_so() -> None:
    page = Page(ToolResult(message_id="t", call_id="c", name="Bash", status="ok", content=parts("x" * 30_000)))
    assert "10000 characters left out" in page.text
    assert page.text.count("x") < 20_100
