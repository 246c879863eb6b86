"""The process of a local model: llama.cpp's HTTP server inside xllamacpp, on 127.0.0.1 only.

It is run as a script (`python -I local_server.py MODEL WINDOW LIBRARY`) and imports nothing of ours: a crash or the
memory of a model is its own.  On stdout it says one line of JSON, `{"url": …}` or `{"error": …}`; the log of llama.cpp
goes to stderr.  The key that requests must carry comes in the environment, where other users cannot read it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from typing import Any

KEY_VARIABLE = "LETTA_LOCAL_KEY"


def main(argv: list[str]) -> int:
    """Serve a model until killed; 1 when it cannot be loaded."""
    model, window, library = argv
    told = os.dup(1)
    os.dup2(2, 1)  # llama.cpp prints to stdout as well: that line must stay ours
    sys.path.append(library)
    try:
        server = _serve(model, int(window), os.environ.pop(KEY_VARIABLE))
        line = {"url": server.listening_address}
    except Exception as error:  # noqa: BLE001 - whatever a C++ library raises has to reach the parent as words
        line = {"error": str(error) or type(error).__name__}
    os.write(told, json.dumps(line).encode() + b"\n")
    os.close(told)
    while "url" in line:
        signal.pause()
    return 1


def _serve(model: str, window: int, key: str) -> Any:
    # Cython without stubs, and only there with the extra.
    xllamacpp: Any = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {"local"} if isinstance(params.model_alias, set) else params.model_alias
    params.n_ctx = window
    params.n_parallel = 1
    params.use_jinja = True
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.ui = False
    params.cors_origins = ""
    params.cache_ram_mib = 0  # it would keep up to 8 GB of old prompts beside the one slot
    return xllamacpp.Server(params)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
