"""A secret does not pass in pieces: whatever the pieces are, and whatever a terminal would not show within it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letta_code.safety.flowing import Flowing
from letta_code.safety.secrets import without_sequences
from letta_code.safety.vault import Vault
from tests.safety.canaries import CANARIES, KEY_KINDS, KEY_LINES, VALUES, Canary, private_key

PLAIN = """def total(prices):
    # the key of each row is its name; a token is counted once
    return sum(price for price in prices if price > 3)

commit 0123456789abcdef0123456789abcdef01234567 of https://example.org/a/b?c=d
As an AI, so to say: gh, sk, No, MT and SGML are words. Task-force-alpha is one too."""

_SEQUENCES = ("\x1b[0m", "\x1b[31;1m", "\x1b]0;title\x07", "\x1b[K")


def flow(pieces: list[str], vault: Vault | None = None) -> str:
    flowing = Flowing(vault or Vault())
    return "".join([*map(flowing.add, pieces), flowing.end()])


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: f"{canary.kind}-{canary.line[:12]}")
def test_one_character_at_a_time(canary: Canary) -> None:
    text = f"before\n{canary.line}\nafter {canary.value} and on\n"
    shown = flow([*text])
    assert canary.value not in shown and "<secret:" in shown
    assert shown.startswith("before\n") and shown.endswith(" and on\n")


@pytest.mark.row("I07")
@settings(max_examples=300, deadline=None)
@given(
    chosen=st.lists(st.sampled_from(CANARIES), min_size=1, max_size=4),
    places=st.lists(st.integers(0, 5000), max_size=60),
    sequences=st.lists(st.tuples(st.integers(0, 5000), st.sampled_from(_SEQUENCES)), max_size=6),
)
def test_no_chunking_lets_a_canary_through(
    chosen: list[Canary], places: list[int], sequences: list[tuple[int, str]]
) -> None:
    text = "\n".join(["$ cat .env", *(one.line for one in chosen), "done"])
    # From the end on, so that none comes into another: what is left of a broken one is text beside the token.
    for at, sequence in sorted(
        {place % (len(text) + 1): sequence for place, sequence in sequences}.items(), reverse=True
    ):
        text = text[:at] + sequence + text[at:]
    shown = flow(cut(text, places))
    for one in chosen:
        assert one.value not in shown and one.value not in without_sequences(shown)[0]


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(KEY_KINDS), places=st.lists(st.integers(0, 5000), max_size=60), headless=st.booleans())
def test_no_chunking_lets_a_line_of_a_private_key_through(kind: str, places: list[int], headless: bool) -> None:
    key = private_key(kind)
    text = "$ tail key\n" + (key.split("\n", 1)[1] if headless else key) + "done\n"
    shown = flow(cut(text, places))
    assert [line for line in KEY_LINES if line in shown] == []
    assert shown.endswith(f"-----END {kind}-----\ndone\n")


@given(places=st.lists(st.integers(0, 5000), max_size=60))
def test_plain_text_comes_as_it_is(places: list[int]) -> None:
    assert flow(cut(PLAIN, places)) == PLAIN


def test_what_is_no_beginning_of_a_secret_does_not_wait() -> None:
    flowing = Flowing(Vault())
    assert flowing.add("Hel") == "Hel"
    assert flowing.add("lo wor") == "lo wor"
    assert flowing.add("ld g") == "ld "  # a GitHub token may begin so
    assert flowing.add("o") == "go"


def test_a_known_value_does_not_pass_in_pieces() -> None:
    vault = Vault(["correct-horse-battery"])
    shown = flow(["it is corr", "ect-ho", "rse-battery!"], vault)
    assert shown.startswith("it is <secret:key:") and shown.endswith("!")


def test_the_end_of_a_stream_shows_the_rest() -> None:
    flowing = Flowing(Vault())
    assert flowing.add("see s") == "see "
    assert flowing.end() == "s"


def test_every_canary_is_different() -> None:
    assert len(set(VALUES)) == len(VALUES) and len({one.kind for one in CANARIES}) >= 30
