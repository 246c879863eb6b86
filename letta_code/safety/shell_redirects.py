"""Redirections and here-documents of a shell text, and the commands that read them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from letta_code.core.messages import Value
from letta_code.safety.shell_values import Assignment, Redirect
from letta_code.safety.shell_words import Parts, Scanner, Unread, Word

_KEYWORD = re.compile(
    r"(?:if|then|else|elif|fi|for|while|until|do|done|case|esac|select|function|time|coproc|in|\{|\}|!|\[\[|\]\])"
    r"(?=[ \t\n;&|()<>]|\Z)"
)
_REDIRECT = re.compile(r"([0-9]*)(<<<|<<-|<<|<&|<>|<(?!\()|>>|>&|>\||>(?!\()|&>>|&>)")
_NAMED_DESCRIPTOR = re.compile(r"\{[A-Za-z_]\w*\}[<>]")


class Step(Value):
    """One simple command as it stands: `body` is its here-document or here-string when that is literal, else None.

    `given` says that its input is written in the text or comes from a file (`<`), `piped` that a command writes it.
    """

    words: tuple[Word, ...]
    cwd: str
    cwd_known: bool
    piped: bool = False
    given: bool = False
    body: str | None = None
    assignments: tuple[Assignment, ...] = ()


class Document:
    """A here-document that was announced and is still to be read."""

    def __init__(self, delimiter: str, *, quoted: bool, tabs: bool) -> None:
        self.delimiter = delimiter
        self.quoted = quoted
        self.tabs = tabs
        self.body: str | None = None
        self.steps: list[int] = []  # the command that reads it


class Redirections(Scanner):
    """Reads redirections and the here-documents that they announce; keeps the folder that commands run in."""

    def __init__(self, text: str, cwd: str, *, cwd_known: bool = True) -> None:
        super().__init__(text)
        self.cwd = cwd
        self.cwd_known = cwd_known
        self.steps: list[Step] = []
        self.redirects: list[Redirect] = []
        self._documents: list[Document] = []
        self._outer = 0  # how many of them belong to what stands around

    def _lines(self) -> None:
        """Go over blanks, comments and ends of lines, and read the here-documents that begin there."""
        while True:
            self.blanks()
            if self.char() != "\n":
                return
            if self._outer:
                raise Unread("a here-document begins in the middle of a word")
            self.at += 1
            self._read_documents()

    def _keyword(self) -> str:
        found = _KEYWORD.match(self.text, self.at, self.end)
        return found[0] if found else ""

    def _expect(self, *keywords: str) -> str:
        found = self._keyword()
        if found not in keywords:
            raise Unread("its syntax is not understood")
        self.at += len(found)
        return found

    def _at_redirect(self) -> bool:
        if _NAMED_DESCRIPTOR.match(self.text, self.at, self.end):
            raise Unread("it redirects a named descriptor")
        return _REDIRECT.match(self.text, self.at, self.end) is not None

    def _redirect(self, document: Document | None = None) -> tuple[bool, str | None, Document | None]:
        """One redirection: whether it gives the input, its text when that is known, the here-document to come."""
        found = _REDIRECT.match(self.text, self.at, self.end)
        if found is None:
            raise Unread("its syntax is not understood")
        self.at = found.end()
        self.blanks()
        word = self.word()
        if word is None:
            raise Unread("its syntax is not understood")
        operator, is_input = found[2], found[1] in {"", "0"}
        if operator in {"<<", "<<-"}:
            return is_input, None, self._announce(word, tabs=operator == "<<-") if is_input else document
        if operator == "<<<":
            return is_input, word.text if word.literal else None, None if is_input else document
        if operator in {"<&", ">&"} and re.fullmatch(r"[0-9]+-?|-", word.text):
            return operator == "<&" and is_input, None, document
        if operator == "<&" or (operator == ">&" and found[1]):
            raise Unread("it copies a descriptor that is not known")
        if word.raw.startswith(("<(", ">(")):
            return operator == "<" and is_input, None, None if is_input else document
        self.redirects.append(
            Redirect(
                operator=operator,
                target=word.text,
                literal=word.literal and not word.splits,
                cwd=self.cwd,
                cwd_known=self.cwd_known,
            )
        )
        fed = operator in {"<", "<>"} and is_input
        return fed, None, None if fed else document

    def _announce(self, word: Word, *, tabs: bool) -> Document:
        if not word.text or any(char in word.raw for char in "$`\n") or not (word.literal or not word.quoted):
            raise Unread("a here-document ends in a way that is not known")
        document = Document(word.text, quoted=word.quoted, tabs=tabs)
        self._documents.append(document)
        self.waiting = True
        return document

    def _read_documents(self) -> None:
        documents, self._documents = self._documents, []
        self.waiting = False
        for document in documents:
            self._read_document(document)

    def _read_document(self, document: Document) -> None:
        start = at = self.at
        while True:
            if at >= self.end:
                raise Unread("a here-document is not ended")
            line, following = self._line(at, joined=not document.quoted)
            if (line.lstrip("\t") if document.tabs else line) == document.delimiter:
                break
            at = following
        end, self.end = self.end, at
        steps = len(self.steps)
        if not document.quoted:
            pieces = Parts()  # nobody needs them
            while self.at < at:
                self.inner(self.text[self.at], pieces, "document")
        self.end, self.at = end, min(following, end)
        body = self.text[start:at]
        if document.quoted or ("$" not in body and "`" not in body and "\\" not in body):
            self._feed(document.steps, body, steps)

    def _line(self, at: int, *, joined: bool) -> tuple[str, int]:
        """The line from here on and where the next one begins; `joined` over ends that a backslash hides."""
        pieces: list[str] = []
        while True:
            stop = self.text.find("\n", at, self.end)
            line = self.text[at : self.end if stop < 0 else stop]
            at = self.end if stop < 0 else stop + 1
            slashes = len(line) - len(line.rstrip("\\"))
            if joined and slashes % 2 and stop >= 0:
                pieces.append(line[:-1])
                continue
            return "".join((*pieces, line)), at

    def _feed(self, readers: Iterable[int], body: str, known: int) -> None:
        for at in readers:
            if at < known:
                old = self.steps[at]
                self.steps[at] = Step(
                    words=old.words,
                    cwd=old.cwd,
                    cwd_known=old.cwd_known,
                    piped=old.piped,
                    given=True,
                    body=body,
                    assignments=old.assignments,
                )
