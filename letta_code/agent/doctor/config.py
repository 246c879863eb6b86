"""Config: the person's settings and keys, the project's settings, and who may read them."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from letta_code.agent.doctor.base import FIX, Finding, Look, Mend, State, Telling, check
from letta_code.config.files import person_layer, project_layer
from letta_code.config.paths import HOME_VARIABLE, project_config
from letta_code.config.settings import Settings
from letta_code.config.yamlfile import BadFile, read_document, safe_name
from letta_code.core.events import Notice

_said = Telling("config")
_PRIVATE = 0o077


@check("config", 4)
def config(look: Look) -> Iterator[Finding]:
    """Each file by itself, so that one bad file does not hide the next."""
    paths = look.paths
    settings = Settings()
    yield _said("home", "ok", _where(look))
    if os.path.lexists(paths.config):
        settings, notices = person_layer(settings, paths.config)
        yield from _file(paths.config, "settings", notices)
    else:
        yield _said("settings", "skipped", f"There is no {paths.config}: every setting has its default.")
    yield from _keys(paths.credentials)
    project = project_config(look.cwd, paths)
    if project is not None:
        _, notices = project_layer(settings, project, trusted=True)
        yield from _file(project, "project settings", notices)


def _where(look: Look) -> str:
    named = look.environ.get(HOME_VARIABLE, "")
    return f"letta-code's home is {look.paths.home}" + (f" ({HOME_VARIABLE})." if named else ".")


def _file(path: Path, what: str, notices: list[Notice]) -> Iterator[Finding]:
    for notice in notices:
        unreadable = "none of it is used" in notice.text
        never = notice.code == "project_settings"
        state: State = "wrong" if unreadable or never else "warning"
        means = "A project may never set this: whoever wrote the repository wrote that file." if never else notice.hint
        yield _said(what, state, notice.text, means, f"${{EDITOR:-vi}} {shlex.quote(str(path))}")
    if not notices:
        yield _said(what, "ok", f"{path} can be read, and every line is a setting.")


def _keys(path: Path) -> Iterator[Finding]:
    if not os.path.lexists(path):
        yield _said("keys", "skipped", f"There is no {path}: keys come from the environment.")
        return
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & _PRIVATE:
            says = f"{path} has the rights {mode:04o}: others can read your keys."
            yield _said("keys", "wrong", says, "Whoever reads a key can spend your money.", FIX,
                        fix=Mend("private", str(path)))  # fmt: skip
        entries = read_document(path).data
    except BadFile as error:
        says = f"{path}{f':{error.line}' if error.line else ''}: the file {error}; no key of it is used."
        yield _said("keys", "wrong", says, "The file is kept aside when a key is saved anew.", "letta-code configure")
        return
    except OSError as error:
        yield _said("keys", "wrong", f"{path}: {error.strerror or error}.", mend=f"ls -l {shlex.quote(str(path))}")
        return
    strange = [name for name, entry in entries.items() if not isinstance(entry, str | dict) or not entry]
    if strange:
        says = f"{path} has no key for {', '.join(map(safe_name, strange[:5]))}."
        yield _said("keys", "warning", says, "That entry is not used.", "letta-code configure")
    else:
        yield _said("keys", "ok", f"{path} can be read; it holds {len(entries)} (never shown).")
