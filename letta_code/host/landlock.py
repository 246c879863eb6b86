"""Landlock: a small script that takes rights from itself (Landlock, seccomp, no_new_privs) and becomes the command.

It is run as a script (`python -I -S landlock.py WORD… -- PROGRAM ARGUMENT…`) and imports nothing of ours.  Why a
script: the rules hold for the process that makes them and for all that it starts, so they must be made in the command's
own process, between fork and exec, where a program with threads cannot run Python.  Which words it gets is decided in
`safety/sandboxes/landlock.py`.

Words: `write=PATH` (everything below may be written), `keep=PATH` (not written, there or not: the folders above it are
opened child by child, so nothing can be made or replaced directly in them), `hide=PATH` (its files are not read),
`show=PATH` (may be read although it is below a hidden one), `net=off|proxy|open` (proxy: TCP to
the port that HTTP_PROXY names), `unset=NAME` (a variable that Python itself put into the environment).
Exit code 125 and a line on stderr: the rules could not be made, the command was not started.
"""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import struct
import sys

NOT_STARTED = 125
OLDEST = 3  # Linux 6.2: before, `truncate` works on every file

# Landlock's rights on files, by the bit; those from the 14th on came with later versions.
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_CHAR, MAKE_BLOCK, TRUNCATE = 1 << 6, 1 << 11, 1 << 14
KNOWN = {3: (1 << 15) - 1, 5: (1 << 16) - 1}  # version to all rights it knows: 5 adds ioctl on devices
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
CHANGES = ((1 << 15) - 1) & ~(MAKE_CHAR | MAKE_BLOCK)  # what a folder that may be written is given
BIND_TCP, CONNECT_TCP = 1, 2
SCOPES = 3  # abstract unix sockets and signals stay among the command's own processes
DEVICES = ("null", "zero", "full", "random", "urandom")

# Calls that reach beyond what Landlock sees: number on x86_64, on aarch64 (None: it has no such call).
REFUSED: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "umount2": (166, 39),
    "userfaultfd": (323, 282),
}
# Answered with "no such call", which libraries know from older kernels: io_uring would go round the rest.
MISSING = {"io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427)}
SOCKET, SENDTO, SENDMSG, SENDMMSG = (41, 198), (44, 206), (46, 211), (307, 269)
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above; what the kernel calls it
X32 = 0x40000000  # x86_64 has a second set of numbers above this
KEPT_CAPABILITIES = {0, 1, 3, 4, 5, 6, 7}  # of root: chown, dac_override, fowner, fsetid, kill, setgid, setuid

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class Wanted:
    """What the words say."""

    def __init__(self, words: list[str]) -> None:
        self.write: list[str] = []
        self.keep: list[str] = []
        self.hide: list[str] = []
        self.show: list[str] = []
        self.net = "off"
        lists = {"write": self.write, "keep": self.keep, "hide": self.hide, "show": self.show}
        for word in words:
            name, _, value = word.partition("=")
            if name == "net":
                self.net = value
            elif name == "unset":
                os.environ.pop(value, None)
            else:
                lists[name].append(value)


class Rules:
    """A Landlock ruleset of this kernel's version while it is made."""

    def __init__(self, version: int, *, net: bool) -> None:
        self.files = KNOWN[5 if version >= 5 else 3]
        attributes = [self.files, (BIND_TCP | CONNECT_TCP) if net and version >= 4 else 0, SCOPES]
        size = 8 if version < 4 else 16 if version < 6 else 24
        self.net = bool(attributes[1])
        self.fd = _call(444, struct.pack("3Q", *attributes), ctypes.c_size_t(size), 0)

    def allow(self, fd: int, rights: int, *, folder: bool) -> None:
        """Give rights on what is open at fd, and below it."""
        rights &= self.files if folder else OF_FILES
        _call(445, self.fd, 1, struct.pack("=Qi", rights, fd), 0)

    def connect(self, port: int) -> None:
        """Let TCP connect to a port."""
        if self.net:
            _call(445, self.fd, 2, struct.pack("2Q", CONNECT_TCP, port), 0)

    def restrict(self) -> None:
        """From now on the rules hold."""
        _call(446, self.fd, 0)
        os.close(self.fd)


def below(path: str, rules: Rules, rights: int, but: list[str]) -> None:
    """Give rights on a path and all below it, but for some paths: what is above those is given child by child.

    Links are never followed, so a link that is laid meanwhile opens nothing.
    """
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not there: nothing to give
    try:
        _below(fd, path, rules, rights, but)
    finally:
        os.close(fd)


def _below(fd: int, path: str, rules: Rules, rights: int, but: list[str]) -> None:
    mode = os.fstat(fd).st_mode
    if stat.S_ISLNK(mode) or path in but:
        return
    inside = path.rstrip("/") + "/"
    nearer = [one for one in but if one.startswith(inside)]
    if not nearer or not stat.S_ISDIR(mode):
        rules.allow(fd, rights, folder=stat.S_ISDIR(mode))
        return
    try:
        listing = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    except OSError:
        return
    try:
        for name in os.listdir(listing):
            try:
                child = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=listing)
            except OSError:
                continue
            try:
                _below(child, inside + name, rules, rights, nearer)
            finally:
                os.close(child)
    finally:
        os.close(listing)


def landlock(wanted: Wanted) -> None:
    """Make the rules and keep to them."""
    version = _call(444, None, ctypes.c_size_t(0), 1)
    if version < OLDEST:
        raise OSError(f"the kernel's Landlock has version {version}, {OLDEST} is needed")
    rules = Rules(version, net=wanted.net != "open")
    # Names may be listed everywhere, for Landlock can only add to what is given above; the content of files may not.
    below("/", rules, READ_DIR, [])
    below("/", rules, EXECUTE | READ_FILE, ["/dev", *wanted.hide])
    for path in wanted.show:
        below(path, rules, EXECUTE | READ_FILE, [])
    for name in DEVICES:
        below(f"/dev/{name}", rules, READ_FILE | WRITE_FILE | TRUNCATE, [])
    for path in ("/dev/shm", *wanted.write):
        below(path, rules, CHANGES, [*wanted.keep, *wanted.hide])
    if wanted.net == "proxy":
        rules.connect(int(os.environ["HTTP_PROXY"].rpartition(":")[2]))
    rules.restrict()


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, value & 0xFFFFFFFF)


LOAD, EQUAL, AT_LEAST, ANY_BIT, AND, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
ALLOW, KILL = 0x7FFF0000, 0x80000000
NO_RIGHT, NO_ACCESS, NO_CALL = 0x00050001, 0x0005000D, 0x00050026  # answers EPERM, EACCES, ENOSYS


def program(machine: str, net: str) -> bytes:
    """The seccomp filter for a processor: what is not named is allowed."""
    column, audit = MACHINES[machine]
    steps = [_step(LOAD, 4), _step(EQUAL, audit, 1), _step(RETURN, KILL), _step(LOAD, 0)]
    if machine == "x86_64":
        steps += [_step(AT_LEAST, X32, 0, 1), _step(RETURN, NO_CALL)]
    for table, answer in ((REFUSED, NO_RIGHT), (MISSING, NO_CALL)):
        for numbers in table.values():
            if numbers[column] is not None:
                steps += [_step(EQUAL, numbers[column] or 0, 0, 1), _step(RETURN, answer)]
    if net == "off":  # no socket at all: unix sockets lead to docker, systemd, agents of keys; pairs are another call
        steps += [_step(EQUAL, SOCKET[column], 0, 1), _step(RETURN, NO_ACCESS)]
    elif net != "open":
        steps += _only_tcp(column)
    return b"".join([*steps, _step(RETURN, ALLOW)])


def _only_tcp(column: int) -> list[bytes]:
    """Sockets of TCP only, since Landlock judges no other; and no data with the first packet, which it does not see."""
    refuse = _step(RETURN, NO_ACCESS)
    inside = [
        *(_step(LOAD, 16), _step(EQUAL, 2, 2), _step(EQUAL, 10, 1), refuse),  # AF_INET, AF_INET6
        *(_step(LOAD, 24), _step(AND, 0xF), _step(EQUAL, 1, 1), refuse),  # SOCK_STREAM
        *(_step(LOAD, 32), _step(EQUAL, 0, 2), _step(EQUAL, 6, 1), refuse),  # TCP, not MPTCP or SCTP
        _step(RETURN, ALLOW),
    ]
    steps = [_step(EQUAL, SOCKET[column], 0, len(inside)), *inside]
    for numbers, flags in ((SENDTO, 40), (SENDMSG, 32), (SENDMMSG, 40)):
        inside = [_step(LOAD, flags), _step(ANY_BIT, 0x20000000, 0, 1), refuse, _step(RETURN, ALLOW)]  # MSG_FASTOPEN
        steps += [_step(EQUAL, numbers[column], 0, len(inside)), *inside]
    return steps


def seccomp(net: str) -> None:
    """Refuse calls that go round Landlock, for good."""
    filters = ctypes.create_string_buffer(program(os.uname().machine, net))
    size = (len(filters) - 1) // 8
    wrapped = ctypes.create_string_buffer(struct.pack("HxxxxxxP", size, ctypes.addressof(filters)))
    _control(22, 2, ctypes.addressof(wrapped))  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def drop_capabilities() -> None:
    """Take from root what is more than the rights of a file's owner; others have none."""
    if os.geteuid() != 0:
        return
    for number in range(64):
        if number not in KEPT_CAPABILITIES and _libc.prctl(24, number, 0, 0, 0) != 0:  # PR_CAPBSET_DROP
            return  # the kernel knows no more of them


def _call(number: int, *arguments: object) -> int:
    result = _libc.syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


def _control(option: int, *arguments: int) -> None:
    if _libc.prctl(option, *[ctypes.c_ulong(one) for one in (*arguments, 0, 0, 0, 0)[:4]]) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def main() -> None:
    """Take the rights away, then become the command."""
    end = sys.argv.index("--")
    wanted, argv = Wanted(sys.argv[1:end]), sys.argv[end + 1 :]
    try:
        _control(38, 1)  # PR_SET_NO_NEW_PRIVS: sudo and the like give nothing back
        drop_capabilities()
        landlock(wanted)
        seccomp(wanted.net)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # Python ignores them, and its successor would too
        os.execv(argv[0], argv)
    except (OSError, KeyError) as error:
        sys.stderr.write(f"letta-code: the command was not started: it could not be confined: {error}\n")
        sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main()
