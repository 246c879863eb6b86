"""Pulling models from a local HTTP server: resume, hashes, full disks, broken connections; and the command for it."""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from letta_code.cli import main
from letta_code.core.errors import ConfigError, EndpointUnreachable, LettaError, UsageError
from letta_code.host.locks import FileLock
from letta_code.llm.local_download import PullLimits, WrongHash, announced_hash, public_url, pull
from letta_code.llm.local_list import ListedFile, Pulled, pulled_models, to_pull

DATA = b"GGUF" + random.Random(1).randbytes(300_000)  # the same in every worker: it stands in test ids
SHA = hashlib.sha256(DATA).hexdigest()
FAST = PullLimits(connect=5, silence=0.5, pause=0.01)


class Shop:
    """A server of one file, and how it misbehaves.

    `cuts` are the bytes after which the next answers break off, `statuses` what the next requests get instead,
    `stall` holds the line open there instead of cutting it.
    """

    def __init__(self) -> None:
        self.data = DATA
        self.headers: dict[str, str] = {"etag": '"v1"'}
        self.redirect_headers: dict[str, str] = {}
        self.cuts: list[int] = []
        self.statuses: list[int] = []
        self.length = True
        self.ranges = True
        self.stall = False
        self.asked: list[str | None] = []
        shop = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

            def do_GET(self) -> None:
                shop.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/models/tiny.gguf"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        if request.path.startswith("/hub"):
            request.send_response(302)
            for name, value in {**self.redirect_headers, "location": self.url, "content-length": "0"}.items():
                request.send_header(name, value)
            request.end_headers()
            return
        wanted = request.headers.get("range")
        self.asked.append(wanted)
        if self.statuses:
            request.send_response(self.statuses.pop(0))
            request.send_header("content-length", "0")
            request.end_headers()
            return
        found = re.match(r"bytes=(\d+)-", wanted or "")
        start = int(found[1]) if found and self.ranges else 0
        if found and request.headers.get("if-range") not in (None, self.headers.get("etag")):
            start = 0
        self._send(request, start, partial=bool(found) and self.ranges and start > 0)

    def _send(self, request: BaseHTTPRequestHandler, start: int, *, partial: bool) -> None:
        if partial and start >= len(self.data):
            request.send_response(416)
            request.send_header("content-length", "0")
            request.end_headers()
            return
        request.send_response(206 if partial else 200)
        for name, value in self.headers.items():
            request.send_header(name, value)
        if partial:
            request.send_header("content-range", f"bytes {start}-{len(self.data) - 1}/{len(self.data)}")
        if self.length:
            request.send_header("content-length", str(len(self.data) - start))
        request.end_headers()
        body = self.data[start:]
        cut = self.cuts.pop(0) if self.cuts else len(body)
        request.wfile.write(body[:cut])
        request.wfile.flush()
        if cut < len(body) and self.stall:
            threading.Event().wait(2)


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    thread = threading.Thread(target=shop.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield shop
    shop.server.shutdown()
    shop.server.server_close()


class Heard:
    def __init__(self) -> None:
        self.progress: list[tuple[int, int]] = []
        self.waits: list[str] = []

    def told(self, done: int, total: int) -> None:
        self.progress.append((done, total))

    def waited(self, why: str, seconds: float) -> None:
        self.waits.append(why)


def get(shop: Shop, folder: Path, *, sha256: str = "", url: str = "", heard: Heard | None = None) -> Pulled:
    heard = heard or Heard()
    wanted = ListedFile(name="tiny", url=url or shop.url, sha256=sha256)
    return pull(wanted, folder / "tiny.gguf", on_progress=heard.told, on_wait=heard.waited, limits=FAST)


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"tiny.gguf.part.lock"}


def test_a_file_comes_whole_and_says_how(shop: Shop, tmp_path: Path) -> None:
    heard = Heard()
    pulled = get(shop, tmp_path, sha256=SHA, heard=heard)
    file = tmp_path / "tiny.gguf"
    assert file.read_bytes() == DATA
    assert file.stat().st_mode & 0o777 == 0o600
    assert (pulled.sha256, pulled.size, pulled.checked) == (SHA, len(DATA), "the hash in letta-code's list")
    assert heard.progress[-1] == (len(DATA), len(DATA))
    assert leftovers(tmp_path) == {"tiny.gguf", "tiny.gguf.json"}
    assert json.loads((tmp_path / "tiny.gguf.json").read_bytes())["sha256"] == SHA


def test_a_broken_connection_goes_on_where_it_ended(shop: Shop, tmp_path: Path) -> None:
    shop.cuts = [100_000, 50_000]
    heard = Heard()
    get(shop, tmp_path, sha256=SHA, heard=heard)
    assert shop.asked == [None, "bytes=100000-", "bytes=150000-"]
    assert len(heard.waits) == 2
    assert (tmp_path / "tiny.gguf").read_bytes() == DATA


def test_a_silent_connection_is_a_broken_one(shop: Shop, tmp_path: Path) -> None:
    shop.cuts, shop.stall = [100_000], True
    get(shop, tmp_path, sha256=SHA)
    assert shop.asked == [None, "bytes=100000-"]


def test_a_later_command_goes_on_as_well(shop: Shop, tmp_path: Path) -> None:
    shop.cuts = [100_000] + [0] * 5
    with pytest.raises(EndpointUnreachable) as caught:
        get(shop, tmp_path)
    assert "0.1 MB of it are here" in caught.value.hint
    assert (tmp_path / "tiny.gguf.part").stat().st_size == 100_000
    assert not (tmp_path / "tiny.gguf").exists()
    shop.asked.clear()
    get(shop, tmp_path, sha256=SHA)
    assert shop.asked == ["bytes=100000-"]


def test_a_file_that_changed_meanwhile_starts_over(shop: Shop, tmp_path: Path) -> None:
    shop.cuts = [100_000] + [0] * 5
    with pytest.raises(EndpointUnreachable):
        get(shop, tmp_path)
    shop.data = b"GGUF" + random.Random(2).randbytes(200_000)
    shop.headers = {"etag": '"v2"'}
    get(shop, tmp_path, sha256=hashlib.sha256(shop.data).hexdigest())
    assert (tmp_path / "tiny.gguf").read_bytes() == shop.data


@pytest.mark.parametrize("weak", [{"etag": 'W/"v1"'}, {}, {"etag": '"v1"', "accept-ranges": "none"}])
def test_where_the_rest_cannot_be_asked_for_it_starts_over(shop: Shop, tmp_path: Path, weak: dict[str, str]) -> None:
    shop.headers, shop.cuts = weak, [100_000]
    get(shop, tmp_path, sha256=SHA)
    assert shop.asked == [None, None]


def test_a_server_that_ignores_ranges_starts_over(shop: Shop, tmp_path: Path) -> None:
    shop.ranges, shop.cuts = False, [100_000]
    get(shop, tmp_path, sha256=SHA)
    assert shop.asked == [None, "bytes=100000-"]


def test_a_part_that_is_whole_already_is_only_checked(shop: Shop, tmp_path: Path) -> None:
    """The process died between the last byte and the new name."""
    shop.cuts = [100_000] + [0] * 5
    with pytest.raises(EndpointUnreachable):
        get(shop, tmp_path)
    (tmp_path / "tiny.gguf.part").write_bytes(DATA)
    get(shop, tmp_path, sha256=SHA)
    assert shop.asked[-1] == f"bytes={len(DATA)}-"


def test_a_part_of_another_address_is_not_continued(shop: Shop, tmp_path: Path) -> None:
    shop.cuts = [100_000] + [0] * 5
    with pytest.raises(EndpointUnreachable):
        get(shop, tmp_path)
    shop.asked.clear()
    get(shop, tmp_path, url=shop.url.replace("models", "others"), sha256=SHA)
    assert shop.asked == [None]


def test_a_part_that_was_damaged_is_found_out(shop: Shop, tmp_path: Path) -> None:
    shop.cuts = [100_000] + [0] * 5
    with pytest.raises(EndpointUnreachable):
        get(shop, tmp_path)
    part = tmp_path / "tiny.gguf.part"
    part.write_bytes(b"GGUF" + bytes(len(part.read_bytes()) - 4))
    with pytest.raises(WrongHash):
        get(shop, tmp_path, sha256=SHA)


@pytest.mark.parametrize("sha256", [SHA[::-1], ""])
def test_a_wrong_hash_keeps_the_file_aside(shop: Shop, tmp_path: Path, sha256: str) -> None:
    shop.headers |= {"x-linked-etag": f'"{SHA[::-1]}"'}
    with pytest.raises(WrongHash) as caught:
        get(shop, tmp_path, sha256=sha256)
    aside = tmp_path / f"tiny.gguf.wrong-{SHA[:8]}"
    assert aside.read_bytes() == DATA and str(aside) in caught.value.hint
    assert SHA in str(caught.value) and SHA[::-1] in str(caught.value)
    assert leftovers(tmp_path) == {aside.name}  # nothing that could be taken for a model
    shop.headers = {"etag": '"v1"'}
    get(shop, tmp_path, sha256=SHA)  # and the next pull starts anew


def test_our_hash_counts_more_than_an_announced_one(shop: Shop, tmp_path: Path) -> None:
    shop.headers |= {"x-linked-etag": f'"{SHA[::-1]}"'}
    assert get(shop, tmp_path, sha256=SHA).sha256 == SHA


def test_a_hash_that_a_redirect_announces_is_compared_and_recorded(shop: Shop, tmp_path: Path) -> None:
    """Model hubs tell the hash in the redirect, and the store behind it another ETag."""
    shop.redirect_headers = {"x-linked-etag": f'"{SHA}"'}
    pulled = get(shop, tmp_path, url=shop.url.replace("/models/", "/hub/"))
    assert (pulled.sha256, pulled.checked) == (SHA, "the server (x-linked-etag)")


def test_without_any_hash_it_is_recorded_that_nothing_was_compared(shop: Shop, tmp_path: Path) -> None:
    pulled = get(shop, tmp_path)
    assert (pulled.sha256, pulled.checked) == (SHA, "")


_B64 = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
_HEX = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"x-linked-etag": f'"{_HEX}"'}, _HEX),
        ({"x-sha256": _HEX.upper()}, _HEX),
        ({"x-amz-checksum-sha256": _B64}, _HEX),
        ({"repr-digest": f"sha-256=:{_B64}:"}, _HEX),
        ({"digest": f"SHA-256={_B64}"}, _HEX),
        ({"etag": f'"{_HEX}"'}, _HEX),
        ({"etag": '"d41d8cd98f00b204e9800998ecf8427e"'}, ""),
        ({"x-sha256": "z" * 64}, ""),
        ({}, ""),
    ],
)
def test_headers_that_announce_a_hash(headers: dict[str, str], found: str) -> None:
    assert announced_hash([httpx.Response(200, headers=headers)])[0] == found


def test_a_web_page_is_no_model(shop: Shop, tmp_path: Path) -> None:
    shop.data = b"<!doctype html><title>Log in</title>"
    with pytest.raises(LettaError, match="no GGUF model"):
        get(shop, tmp_path)
    assert leftovers(tmp_path) == {"tiny.gguf.no-model"}


@pytest.mark.parametrize(("status", "word"), [(404, "not there"), (401, "login"), (410, "Try again")])
def test_a_refusal_is_told_at_once(shop: Shop, tmp_path: Path, status: int, word: str) -> None:
    shop.statuses = [status]
    with pytest.raises(ConfigError) as caught:
        get(shop, tmp_path)
    assert str(status) in str(caught.value) and word in caught.value.hint
    assert len(shop.asked) == 1


def test_a_busy_server_is_asked_again(shop: Shop, tmp_path: Path) -> None:
    shop.statuses = [503, 429]
    get(shop, tmp_path, sha256=SHA)
    assert len(shop.asked) == 3


def test_nobody_there_says_so(tmp_path: Path, shop: Shop) -> None:
    with pytest.raises(EndpointUnreachable, match=r"127\.0\.0\.1:1/"):
        get(shop, tmp_path, url="http://127.0.0.1:1/tiny.gguf")
    assert leftovers(tmp_path) == set()


def test_a_file_larger_than_the_disk_is_not_begun(shop: Shop, tmp_path: Path) -> None:
    shop.length = False
    shop.headers |= {"content-length": str(1 << 50)}
    with pytest.raises(ConfigError, match="free"):
        get(shop, tmp_path)
    assert leftovers(tmp_path) == set()


def test_one_process_at_a_time(shop: Shop, tmp_path: Path) -> None:
    with FileLock(tmp_path / "tiny.gguf.part.lock", what="local pull"), pytest.raises(ConfigError, match="local pull"):
        get(shop, tmp_path)


def test_addresses_are_told_without_their_secrets() -> None:
    assert public_url("https://user:secret@host/a.gguf?token=secret#x") == "https://host/a.gguf"
    assert public_url("https://host/a@b.gguf") == "https://host/a@b.gguf"


# ---------------------------------------------------------------- the command

_LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
from letta_code.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk_keeps_what_came_and_says_so(shop: Shop, letta_home: Path) -> None:
    """The kernel refuses bytes above a limit as a full disk does (EFBIG for ENOSPC); the next command goes on."""
    shop.length = False
    full = subprocess.run(
        [sys.executable, "-c", _LIMITED, "local", "pull", shop.url],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    part = letta_home / "models" / "tiny.gguf.part"
    assert full.returncode == 1 and full.stdout == ""
    assert "The disk is full: 0.2 MB of tiny are in" in full.stderr and "goes on where it ended" in full.stderr
    assert "Traceback" not in full.stderr
    assert part.read_bytes() == DATA[:200_000]
    assert main(["local", "pull", shop.url]) == 0
    assert shop.asked == [None, "bytes=200000-"]
    assert (letta_home / "models" / "tiny.gguf").read_bytes() == DATA


def test_pull_and_list(shop: Shop, letta_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop.headers |= {"x-sha256": SHA}
    assert main(["local", "pull", shop.url]) == 0
    told = capsys.readouterr()
    assert "--model local/tiny" in told.out and "not tried" in told.err
    assert SHA in told.err and "the server (x-sha256)" in told.err and "100%" in told.err
    assert main(["local", "list"]) == 0
    listed = capsys.readouterr().out
    assert "local/tiny" in listed and "0.3 MB" in listed and "SHA-256 as the server (x-sha256) says" in listed
    assert re.search(r"^\* qwen2\.5-coder-1\.5b ", listed, re.MULTILINE)
    shop.asked.clear()
    assert main(["local", "pull", shop.url]) == 0  # it is here: nothing is asked
    assert shop.asked == []


def test_two_addresses_of_one_name_are_told_apart(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["local", "pull", shop.url]) == 0
    assert main(["local", "pull", shop.url.replace("models", "others")]) == 1
    assert "came from" in capsys.readouterr().err


def test_a_file_that_a_person_put_there_is_listed(letta_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (letta_home / "models").mkdir(parents=True)
    (letta_home / "models" / "own.gguf").write_bytes(b"GGUF")
    (letta_home / "models" / "own.gguf.json").write_bytes(b"{")
    assert main(["local"]) == 0
    assert "local/own" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["pull"], ["pull", "nothing-of-the-kind"], ["push", "x"], ["pull", "http://h/x.bin"],
              ["pull", "http://h/big-00001-of-00003.gguf"], ["pull", "http://h/.gguf"], ["--nope"]]
)  # fmt: skip
def test_words_that_mean_nothing_are_usage_errors(words: list[str]) -> None:
    assert main(["local", *words]) == 2


def test_the_name_of_a_url_is_its_files() -> None:
    assert to_pull("https://h/a/Some-Model.Q4_K_M.gguf?download=true").name == "Some-Model.Q4_K_M"
    assert to_pull("qwen2.5-coder-1.5b").url.endswith("/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf")
    with pytest.raises(UsageError):
        to_pull("https://h/..gguf")


def test_no_models_folder_is_no_models(letta_home: Path) -> None:
    from letta_code.config.paths import Paths

    found: Any = pulled_models(Paths.find())
    assert found == ()
