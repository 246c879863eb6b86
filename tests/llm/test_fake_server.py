"""The fake model server as a process of its own, as the benches and end-to-end tests use it."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from pathlib import Path


def test_it_serves_by_history_and_keeps_the_bodies(tmp_path: Path, repository: Path) -> None:
    script = tmp_path / "replies.yaml"
    script.write_text("- {text: first}\n- {text: second, torn: 1}\n")
    command = [sys.executable, "-m", "tests.fakes.model_server", "--script", str(script), "--by-history"]
    server = subprocess.Popen(
        [*command, "--record", str(tmp_path / "bodies")], stdout=subprocess.PIPE, text=True, cwd=repository
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        body = b'{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"first"}]}'
        for _ in range(2):  # the same request gets the same reply
            asked = urllib.request.Request(f"{url}/v1/chat/completions", data=body)
            answer = urllib.request.urlopen(asked, timeout=10).read()
            assert b'"content":"second"' in answer
            assert answer.endswith(b"data: [DONE]\n\n")
    finally:
        server.terminate()
        server.wait(10)
    assert (tmp_path / "bodies" / "0002.json").read_bytes() == body
    assert abs(float((tmp_path / "bodies" / "times.txt").read_text().split()[1]) - time.time()) < 60
