"""The daily work: its mark is written, and nothing that a link in the mark's place leads to."""

from __future__ import annotations

from pathlib import Path

from letta_code.agent.upkeep import keep_up
from letta_code.config.paths import Paths
from letta_code.core.ids import utc_now
from letta_code.store.database import Store
from tests.fakes.redaction import NoSecrets


async def test_a_link_in_the_place_of_the_mark_is_not_written_through(tmp_path: Path) -> None:
    other = tmp_path / "of the person"
    other.write_text("mine\n")
    paths = Paths.find().ensure()
    mark = paths.folder(paths.cache) / "purged"
    mark.symlink_to(other)
    with Store.open(paths.database, redactor=NoSecrets()) as store:
        await keep_up(store, paths)
    assert other.read_text() == "mine\n"
    assert not mark.is_symlink() and mark.read_text().strip() == utc_now()[:10]
