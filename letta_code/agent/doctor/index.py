"""Index: the search index, which holds only what can be made again."""

from __future__ import annotations

from collections.abc import Iterator

from letta_code.agent.doctor.base import FIX, Finding, Look, Mend, Telling, check
from letta_code.core.counts import size
from letta_code.core.errors import StoreBusy, StoreError
from letta_code.store.dialect import connect

_said = Telling("index")


@check("index", 3)
def index(look: Look) -> Iterator[Finding]:
    """Each index file opens and is sound."""
    folder = look.paths.index
    if folder.exists() and not folder.is_dir():
        yield _said(
            "folder", "wrong", f"{folder} is no folder.", "Nothing can be searched.", f"mv {folder} {folder}.old"
        )
        return
    found = sorted(folder.glob("text-*.db")) if folder.is_dir() else []
    if not found:
        yield _said("search index", "skipped", "There is no search index yet: it is made at the first search.")
    for path in found:
        means = "It holds nothing of its own: it is deleted and made anew at the next search."
        try:
            database = connect(path, read_only=True)
        except StoreError as error:
            yield _said("search index", "wrong", f"{error}.", means, FIX, fix=Mend("index", str(path)))
            continue
        try:
            database.stop_after(look.seconds)
            wrong = database.damage()
            if not wrong and not database.has_table("marks") and path.stat().st_size:
                wrong = ["it has no tables of ours"]
        except StoreBusy as error:
            yield _said("search index", "skipped", f"{error}.")
            continue
        except StoreError as error:
            wrong = [str(error)]
        finally:
            database.close()
        if wrong:
            says = f"{path} is damaged: {wrong[0].splitlines()[0][:200]}."
            yield _said("search index", "wrong", says, means, FIX, fix=Mend("index", str(path)))
        else:
            yield _said("search index", "ok", f"{path.name} is sound ({size(path.stat().st_size)}).")
