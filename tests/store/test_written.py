"""Which conversations are open now, told by their locks."""

from __future__ import annotations

from letta_code.store.database import Store


def test_a_conversation_is_written_while_its_lock_is_held(store: Store) -> None:
    assert store.runs.written() == {}
    lock = store.acquire_writer("conv-1", "tui")
    other = store.acquire_writer("conv-2", "headless")
    other.release()  # its file stays and names a process that lives
    assert {name: owner.what for name, owner in store.runs.written().items()} == {"conv-1": "tui"}
    lock.release()
    assert store.runs.written() == {}
