"""Looked: how far a long conversation was looked through for secrets, kept so that a resume need not do it again."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from letta_code.host.files import atomic_write, ensure_private_dir

_WORTH = 500  # messages; fewer are looked through in a few milliseconds
_LONGEST = 200  # bytes of the note


class Looked:
    """A note in the cache: so many messages, of these events, held none of these secrets.

    What is stored was looked through when it was written.  What is looked for again is what became known since (a new
    key in the environment, a new format): so the note holds only as long as nothing of that has changed, and for
    exactly these messages.  A note that is torn, missing or of another state costs the look.
    """

    def __init__(self, path: Path, known: Callable[[], Sequence[str]]) -> None:
        """`known` gives the values that are secret whatever they look like, as they are when the note is used."""
        self._path = path
        self._known = known
        self._kept = 0

    def leading(self, seqs: Sequence[int]) -> int:
        """How many of the first messages, given by the events they came with, were looked through already."""
        if len(seqs) < _WORTH:
            return 0
        try:
            with self._path.open("rb") as file:
                count, key = file.read(_LONGEST).decode("ascii").split()
            said = int(count)
        except (OSError, ValueError):
            return 0
        if not _WORTH <= said <= len(seqs) or key != self._key(seqs[:said]):
            return 0
        self._kept = said
        return said

    def keep(self, seqs: Sequence[int]) -> None:
        """All messages of these events were looked through, and none held a secret."""
        if len(seqs) < _WORTH or len(seqs) == self._kept:
            return
        with suppress(OSError):  # no room, or a home that cannot be written: the next resume looks again
            ensure_private_dir(self._path.parent)
            atomic_write(self._path, f"{len(seqs)} {self._key(seqs)}\n".encode("ascii"), durable=False)
            self._kept = len(seqs)

    def _key(self, seqs: Sequence[int]) -> str:
        from letta_code import __version__
        from letta_code.safety.formats import FORMATS

        found = hashlib.blake2b(f"{__version__} {FORMATS!r}".encode(), digest_size=20)
        for value in sorted(self._known()):
            found.update(b"\0" + value.encode("utf-8", "surrogatepass"))
        found.update(b"\1" + array("q", seqs).tobytes())
        return found.hexdigest()
