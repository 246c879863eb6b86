"""Reader: the blocks of one place, at a pin or as they are now; all that a start needs of memory."""

from __future__ import annotations

from letta_code.memory.block import Place
from letta_code.memory.folder import Folder
from letta_code.memory.view import Pin, View

_KEPT_VIEWS = 4


class Reader:
    """Reads the agent's own and the shared repository for one place."""

    def __init__(self, own: Folder, shared: Folder, place: Place) -> None:
        self.own = own
        self.shared = shared
        self.place = place
        self._views: dict[Pin, View] = {}

    def pin(self) -> Pin:
        """Both repositories as they are now."""
        return Pin(own=self.own.head(), shared=self.shared.head())

    def view(self, pin: Pin | None = None) -> View:
        """The blocks at a pin (None: now)."""
        pin = pin or self.pin()
        known = self._views.get(pin)
        if known is None:
            known = View(self.own, self.shared, self.place, pin)
            if known.problems:  # they may be mended any moment
                return known
            self._views = {**dict(list(self._views.items())[1 - _KEPT_VIEWS :]), pin: known}
        return known

    def remembered(self, pin: Pin) -> View | None:
        """The blocks at a pin as they were read lately, also when they are gone from the disk."""
        return self._views.get(pin)

    def readable(self, pin: Pin) -> bool:
        """Whether both commits are there."""
        pairs = ((self.own, pin.own), (self.shared, pin.shared))
        return all(not sha or folder.repository.objects.has(sha) for folder, sha in pairs)
