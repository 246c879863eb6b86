"""Numbered lines of code: a gutter that is not copied, soft wraps that are not copied either."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Resize
from textual.geometry import Size
from textual.selection import Selection
from textual.widget import Widget
from textual.widgets import Static

_BACKGROUNDS = {"added": "on $success 14%", "removed": "on $error 16%"}
_GUTTERS = {"added": "$text-success", "removed": "$text-error"}
_SIGNS = {"added": "+", "removed": "-", "hunk": "⋯"}
HIGHLIGHT_LIMIT = 60_000  # characters; colouring more than this would be felt


class Row(NamedTuple):
    """One logical line: `kind` is same, added, removed or hunk; `number` stands in the gutter."""

    kind: str
    number: str
    content: Content


class CodeView(Horizontal):
    """Rows with numbers and, for a path whose language is known, syntax colours."""

    def __init__(self, rows: list[Row], *, path: str = "", footer: str = "", prose: bool = False) -> None:
        """`prose` wraps between words."""
        super().__init__(classes="code-view")
        self._rows = coloured(rows, path)
        self._footer = footer
        self._prose = prose

    def compose(self) -> ComposeResult:
        """Gutter and code, side by side."""
        code = Code(self._rows, self._footer, self._prose)
        yield Gutter(code)
        yield code


class Code(Widget):
    """The code column.  It wraps by itself, so that the gutter can follow and a copy can leave the wraps out."""

    def __init__(self, rows: list[Row], footer: str = "", prose: bool = False) -> None:
        super().__init__(classes="code")
        self.rows = rows
        self._cut = _at_words if prose else Content.fold
        self._footer = footer
        self._width = 0
        self._places: list[tuple[int, int]] = []  # of each screen line: row, first character
        self._content = Content("")

    @property
    def places(self) -> list[tuple[int, int]]:
        """For each line on the screen the row that it shows and the character it starts with."""
        return self._places

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Lines after wrapping to `width` cells."""
        self.wrap_to(width)
        return len(self._places) + (1 if self._footer else 0)

    def wrap_to(self, width: int) -> None:
        """Wrap to a width in cells; nothing to do when it is the same as before."""
        if width == self._width or width <= 0:
            return
        self._width = width
        places: list[tuple[int, int]] = []
        lines: list[Content] = []
        for index, row in enumerate(self.rows):
            start = 0
            for piece in self._cut(row.content, width) if row.content.cell_length > width else [row.content]:
                places.append((index, start))
                start += len(piece)
                lines.append(self._backed(row.kind, piece, width))
        if self._footer:
            lines.append(Content.styled(self._footer, "$foreground 75%"))
        self._places, self._content = places, Content("\n").join(lines)

    def _backed(self, kind: str, piece: Content, width: int) -> Content:
        if kind not in _BACKGROUNDS:
            return piece
        if self.app.current_theme.ansi:  # sixteen colours have no faint backgrounds
            return piece.stylize(_GUTTERS[kind])
        return piece.pad_right(max(width - piece.cell_length, 0)).stylize_before(_BACKGROUNDS[kind])

    def render(self) -> Content:
        """The wrapped lines."""
        self.wrap_to(self.content_size.width)
        return self._content

    def on_resize(self, event: Resize) -> None:
        """The gutter follows the wraps."""
        self.refresh(layout=True)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected characters of the logical lines: no padding, no wraps, no numbers."""
        first = self._place(selection.start, (0, 0))
        last = self._place(selection.end, (len(self.rows) - 1, len(self.rows[-1].content)) if self.rows else (0, 0))
        texts = [row.content.plain for row in self.rows[first[0] : last[0] + 1]]
        if not texts:
            return None
        texts[-1] = texts[-1][: last[1]]
        texts[0] = texts[0][first[1] :]
        return "\n".join(texts), "\n"

    def _place(self, offset: object, default: tuple[int, int]) -> tuple[int, int]:
        if offset is None or not self._places:
            return default
        column, line = offset.x, offset.y  # type: ignore[attr-defined]  # an Offset; textual gives None for "to the end"
        if line >= len(self._places):
            return len(self.rows) - 1, len(self.rows[-1].content)
        row, start = self._places[max(line, 0)]
        return row, min(start + max(column, 0), len(self.rows[row].content))


def _at_words(line: Content, width: int) -> list[Content]:
    """A line in pieces that fit, cut between words where that is possible; no character is left out."""
    from textual._wrap import compute_wrap_offsets  # Content.wrap drops blanks, and copying counts characters

    pieces = line.divide(compute_wrap_offsets(line.plain, width, 4))
    return [piece.truncate(width) for piece in pieces] if pieces else [line]  # a blank may stand beyond the edge


class Gutter(Static):
    """Numbers and signs of the rows, blank beside wrapped lines."""

    ALLOW_SELECT = False

    def __init__(self, code: Code) -> None:
        super().__init__("", markup=False, classes="gutter")
        self._code = code
        self._digits = max((len(row.number) for row in code.rows), default=1)
        self.styles.width = self._digits + 3

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As high as the code beside it, at the width that is left for it (it may not have been wrapped to it yet)."""
        self._code.wrap_to(container.width - width)
        return len(self._code.places)

    def render(self) -> Content:
        """A number, a sign and a blank for each screen line."""
        lines: list[Content] = []
        for index, start in self._code.places:
            row = self._code.rows[index]
            number = row.number if not start else ""
            sign = _SIGNS.get(row.kind, " ") if not start else " "
            text = f"{number:>{self._digits}} {sign} "
            back = "" if self.app.current_theme.ansi else _BACKGROUNDS.get(row.kind, "")
            lines.append(Content.styled(text, f"{_GUTTERS.get(row.kind, '$foreground 75%')} {back}"))
        return Content("\n").join(lines)


def coloured(rows: list[Row], path: str) -> list[Row]:
    """The rows with syntax colours; as they are when the language is unknown or there is too much of it."""
    text = "\n".join(row.content.plain for row in rows)
    if not path or len(text) > HIGHLIGHT_LIMIT:
        return rows
    lines = _highlighted(text, path)
    if lines is None or len(lines) != len(rows):
        return rows
    return [
        row if row.kind == "hunk" else Row(row.kind, row.number, line) for row, line in zip(rows, lines, strict=True)
    ]


@lru_cache(maxsize=64)
def _highlighted(text: str, path: str) -> tuple[Content, ...] | None:
    # pygments is heavy: it is imported when the first code is drawn (and warmed before that, in the core's thread)
    from pygments.token import Token
    from textual.highlight import HighlightTheme, highlight

    language = _language(path)
    if not language:
        return None

    class Calm(HighlightTheme):
        """textual's colours without the lines below names."""

        STYLES = {kind: style.replace(" underline", "") for kind, style in HighlightTheme.STYLES.items()} | {
            Token.Comment: "$foreground 60% italic"
        }

    whole = highlight(text.replace("\t", "    "), language=language, theme=Calm)
    return tuple(whole.split("\n", allow_blank=True))


def _language(path: str) -> str:
    """pygments' name of the language of a file, "" where it knows none.

    Its own search compiles a thousand patterns: where one language alone has the ending, that is not asked.
    """
    from pygments.lexers import LEXERS, find_lexer_class_for_filename

    name = path.rpartition("/")[2]
    if name.count(".") == 1:
        endings = {name, f"*{name[name.index('.') :]}"}
        found = [aliases for _, _, aliases, patterns, _ in LEXERS.values() if not endings.isdisjoint(patterns)]
        if len(found) == 1 and found[0]:
            return str(found[0][0])
    lexer = find_lexer_class_for_filename(path)
    return str(lexer.aliases[0]) if lexer is not None and lexer.aliases else ""
