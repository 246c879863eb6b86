"""A stand-in for llm/local_server.py: the "model" is a JSON file that says what to do.

Run as the real one is (`python -I local_fake_server.py MODEL WINDOW LIBRARY`), so it imports nothing of ours.  Fields:
`replies` are the texts of the answers in turn (kept in `<model>.count`, since a killed process starts anew), `load` the
seconds that loading takes, `fail` the words of a load that fails, `die` the numbers of the requests that kill it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

MODEL = Path(sys.argv[1])
PLAN = json.loads(MODEL.read_bytes()[4:])
COUNT = MODEL.with_suffix(".count")
KEY = os.environ["LETTA_LOCAL_KEY"]


class Handler(BaseHTTPRequestHandler):
    """Answers chat completions as llama.cpp does, with one chunk a character."""

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        """One answer."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers["authorization"] != f"Bearer {KEY}":
            self.send_error(401)
            return
        number = int(COUNT.read_text()) if COUNT.exists() else 0
        COUNT.write_text(str(number + 1))
        MODEL.with_suffix(f".{number}.request").write_bytes(body)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for place, char in enumerate(PLAN["replies"][number]):
            if number in PLAN.get("die", ()) and place == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            self.event({"choices": [{"delta": {"content": char}}]})
        usage = {"prompt_tokens": 50, "completion_tokens": 5}
        self.event({"choices": [{"delta": {}, "finish_reason": PLAN.get("finish", "stop")}], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, value: object) -> None:
        """One server-sent event."""
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")
        self.wfile.flush()


print("fake llama.cpp: reading", file=sys.stderr, flush=True)
time.sleep(PLAN.get("load", 0))
if "crash" in PLAN:
    print("0.00 E load_model: failed to read tensors", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)
if "fail" in PLAN:
    print(json.dumps({"error": PLAN["fail"]}), flush=True)
    sys.exit(1)
server = HTTPServer(("127.0.0.1", 0), Handler)
print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
server.serve_forever()
