"""Programs as a reader of commands sees them: which run another command, which run code, which only take data."""

from __future__ import annotations

import re
from collections.abc import Mapping

from letta_code.core.messages import Value


def _option(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """What a whole word must look like; its value may go over several lines."""
    return re.compile(pattern, re.DOTALL | flags)


class Wrapper(Value):
    """A program that runs the command behind its own options.

    `flags` and `values` are the letters of options without and with a value, `long_flags` and `long_values` their long
    names, `operands` how many words of its own stand before the command, `assigns` whether `NAME=value` may.
    """

    flags: str = ""
    values: str = ""
    long_flags: tuple[str, ...] = ()
    long_values: tuple[str, ...] = ()
    operands: int = 0
    assigns: bool = False


_SUDO = Wrapper(
    flags="AbBEHKknPS", values="ugpChTtrRD", assigns=True,
    long_flags=("--background", "--preserve-env", "--set-home", "--non-interactive", "--stdin", "--reset-timestamp"),
    long_values=("--user", "--group", "--host", "--prompt", "--chdir", "--chroot", "--role", "--type"),
)  # fmt: skip
WRAPPERS: Mapping[str, Wrapper] = {
    "env": Wrapper(flags="i0v", values="uC", assigns=True,
                   long_flags=("--ignore-environment", "--null", "--debug"), long_values=("--unset", "--chdir")),
    "command": Wrapper(flags="p"),
    "builtin": Wrapper(),
    "exec": Wrapper(flags="cl", values="a"),
    "sudo": _SUDO,
    "doas": Wrapper(flags="Ln", values="auC"),
    "nohup": Wrapper(),
    "setsid": Wrapper(flags="cfw", long_flags=("--ctty", "--fork", "--wait")),
    "timeout": Wrapper(flags="v", values="ks", operands=1, long_values=("--kill-after", "--signal"),
                       long_flags=("--foreground", "--preserve-status", "--verbose")),
    "nice": Wrapper(flags="0123456789", values="n", long_values=("--adjustment",)),
    "ionice": Wrapper(flags="t", values="cn", long_flags=("--ignore",), long_values=("--class", "--classdata")),
    "chrt": Wrapper(flags="bfiorRav", values="TPD", operands=1),
    "stdbuf": Wrapper(values="ioe", long_values=("--input", "--output", "--error")),
    "time": Wrapper(flags="apqvV", values="of", long_values=("--output", "--format"),
                    long_flags=("--append", "--portability", "--verbose", "--quiet")),
    "watch": Wrapper(flags="bcdegptwx", values="nq", long_values=("--interval",),
                     long_flags=("--color", "--differences", "--exec", "--no-title", "--errexit", "--chgexit")),
    "busybox": Wrapper(),
    "toybox": Wrapper(),
    "chroot": Wrapper(operands=1, long_values=("--groups", "--userspec")),
    "taskset": Wrapper(flags="c", operands=1, long_flags=("--cpu-list",)),
    "strace": Wrapper(flags="cCdDfFhiknqrtTvVwxyYzZ", values="abeEIoOpPsSuUX"),
    "ltrace": Wrapper(flags="cCfiLSrtTV", values="aAeFlnopsuwx"),
    "unshare": Wrapper(flags="muinpUCTrcf", long_flags=("--fork", "--map-root-user", "--net", "--mount", "--pid")),
    "setpriv": Wrapper(long_flags=("--no-new-privs",), long_values=("--reuid", "--regid")),
    "flock": Wrapper(flags="enosuxF", values="wE", operands=1),
    "unbuffer": Wrapper(flags="p"),
    "fakeroot": Wrapper(),
    "eatmydata": Wrapper(),
    "xvfb-run": Wrapper(flags="al", values="enfspw", long_flags=("--auto-servernum",), long_values=("--server-args",)),
    "dbus-run-session": Wrapper(),
    "caffeinate": Wrapper(flags="disum", values="tw"),
    "catchsegv": Wrapper(),
    "setarch": Wrapper(flags="R"),
    "linux64": Wrapper(),
    "linux32": Wrapper(),
    "prlimit": Wrapper(long_values=("--pid",)),
    "cpulimit": Wrapper(flags="zfv", values="l"),
    "firejail": Wrapper(),
    "tsp": Wrapper(),
    "chronic": Wrapper(),
    "ifne": Wrapper(),
    "torsocks": Wrapper(),
    "proxychains4": Wrapper(flags="q"),
    "xargs": Wrapper(flags="0rtpxo", values="IiLlnPsEeda",
                     long_flags=("--null", "--no-run-if-empty", "--verbose", "--interactive", "--exit", "--open-tty",
                                 "--replace"),
                     long_values=("--max-args", "--max-procs", "--max-lines", "--max-chars", "--arg-file",
                                  "--delimiter", "--eof", "--process-slot-var", "--replace")),
}  # fmt: skip
# Options of xargs whose value only ever stands in the same word.
XARGS_ATTACHED = "ile"
# Shells whose syntax is read, and those whose syntax is another one.
SHELLS = frozenset({"sh", "bash", "dash", "ash"})
OTHER_SHELLS = frozenset({"zsh", "ksh", "mksh", "fish", "csh", "tcsh", "nu", "pwsh", "elvish", "xonsh", "rc", "rbash"})
# A program and the word behind it that make it run what follows; "" where the program alone does.
RUNNERS: Mapping[str, frozenset[str]] = {
    "uv": frozenset({"run"}), "poetry": frozenset({"run"}), "pipenv": frozenset({"run"}), "pdm": frozenset({"run"}),
    "rye": frozenset({"run"}), "hatch": frozenset({"run"}), "pipx": frozenset({"run"}), "conda": frozenset({"run"}),
    "bundle": frozenset({"exec"}), "npm": frozenset({"exec", "x"}), "pnpm": frozenset({"exec", "dlx"}),
    "yarn": frozenset({"exec", "dlx"}), "bun": frozenset({"x"}), "npx": frozenset({""}), "bunx": frozenset({""}),
    "uvx": frozenset({""}), "docker": frozenset({"run", "exec"}), "podman": frozenset({"run", "exec"}),
    "docker-compose": frozenset({"run", "exec"}), "kubectl": frozenset({"exec", "run"}), "mise": frozenset({"exec"}),
    "asdf": frozenset({"exec"}), "direnv": frozenset({"exec"}), "dotenv": frozenset({"run", ""}),
    "systemd-run": frozenset({""}), "valgrind": frozenset({""}), "perf": frozenset({"stat", "record"}),
    "hyperfine": frozenset({""}), "ssh": frozenset({""}), "mosh": frozenset({""}), "nsenter": frozenset({""}),
    "bwrap": frozenset({""}), "entr": frozenset({""}), "run-parts": frozenset({""}), "opam": frozenset({"exec"}),
    "coverage": frozenset({"run"}), "tox": frozenset({"exec"}), "nodemon": frozenset({""}), "dtach": frozenset({""}),
}  # fmt: skip
# Interpreters: an option (a word that matches) with code in it.  Without one, the first operand is a script.
_PYTHON = _option(r"-[A-Za-z]*c.*|-")
INTERPRETERS: Mapping[str, re.Pattern[str]] = {
    "python": _PYTHON, "pypy": _PYTHON, "ipython": _PYTHON, "jython": _PYTHON, "micropython": _PYTHON,
    "perl": _option(r"-[A-Za-z0-9]*[eEMmIx].*|-|-[A-Za-z]*[dn].*"),
    "ruby": _option(r"-[A-Za-z]*[erI].*|-"),
    "node": _option(r"-[A-Za-z]*[epr].*|--eval.*|--print.*|--require.*|--import.*|--loader.*|-"),
    "nodejs": _option(r"-[A-Za-z]*[epr].*|--eval.*|--print.*|--require.*|--import.*|-"),
    "deno": _option(r"eval|repl|-|https?:.*"),
    "bun": _option(r"-[A-Za-z]*[ep].*|--eval.*|--print.*|-"),
    "php": _option(r"-[A-Za-z]*[rBREd].*|--run.*|-"),
    "lua": _option(r"-[el].*|-"), "luajit": _option(r"-[ejl].*|-"),
    "tclsh": _option(r"-"), "wish": _option(r"-"), "expect": _option(r"-c.*|-"),
    "Rscript": _option(r"-e.*|-"), "R": _option(r"-e.*|-"), "julia": _option(r"-[eEL].*|--eval.*|-"),
    "osascript": _option(r"-e.*|-"), "groovy": _option(r"-e.*"), "scala": _option(r"-e.*"),
    "ghc": _option(r"-e.*"), "elixir": _option(r"-e.*|--eval.*"), "erl": _option(r"-eval.*|-s|-run"),
    "guile": _option(r"-c.*|-"), "sbcl": _option(r"--eval|--load"), "clojure": _option(r"-e.*|-M.*"),
    "ts-node": _option(r"-e.*|--eval.*"), "tsx": _option(r"-e.*|--eval.*"), "java": _option(r"-javaagent.*"),
    "octave": _option(r"--eval.*"), "gnuplot": _option(r"-e.*|-"), "ocaml": _option(r"-e.*|-"),
}  # fmt: skip
# Options of otherwise harmless programs that run a program, or code.
RUNNING_OPTIONS: Mapping[str, re.Pattern[str]] = {
    "rg": _option(r"--pre(=.*)?|--hostname-bin(=.*)?|--search-zip|-[A-Za-z]*z[A-Za-z]*"),
    "sort": _option(r"--compress-prog.*"),
    "tar": _option(r"--to-c.*|--checkpoint-a.*|--use-c.*|--rsh.*|--rmt.*|--info-s.*|--new-v.*|-?[A-Za-z]*[IF].*"),
    "bsdtar": _option(r"--use-c.*"),
    "zip": _option(r"-TT.*|--unzip-c.*|-[A-Za-z]*T.*"),
    "rsync": _option(r"-[A-Za-z]*e.*|--rsh.*|--rsync-path.*|--daemon|-[A-Za-z]*M.*"),
    "scp": _option(r"-[A-Za-z0-9]*[SoFJ].*"), "sftp": _option(r"-[A-Za-z0-9]*[SoFJbD].*"),
    "ssh": _option(r"-[A-Za-z0-9]*[oFJ].*"),
    "man": _option(r"-[A-Za-z]*[PH].*|--pager.*|--html.*|--preproc.*"),
    "less": _option(r"\+.*|-[A-Za-z]*[kK].*|--lesskey.*"), "more": _option(r"\+.*"),
    "split": _option(r"--filter.*"),
    "openssl": _option(r"-(engine|provider|config|loader).*"),
    "gcc": _option(r"-wrapper|-fplugin.*|-B.*|-specs.*|@.*"), "cc": _option(r"-wrapper|-fplugin.*|-B.*|@.*"),
    "g++": _option(r"-wrapper|-fplugin.*|-B.*|-specs.*|@.*"), "clang": _option(r"-fplugin.*|-Xclang|@.*"),
    "make": _option(r"(SHELL|MAKE\w*|\.SHELLFLAGS)[:+?]?=.*|--eval.*|-[A-Za-z]*E.*|.*=-|-|-f-|.*/dev/.*|<\(.*"),
    "sqlite3": _option(r"\s*\..*|.*\n\s*\..*|.*\b(load_ext|edit|writefile|fts3_tok)\w*\b.*|-init|-cmd"),
    "psql": _option(r".*\\.*|.*\bPROGRAM\b.*|-f.*|--file.*", re.IGNORECASE),
    "mysql": _option(r".*\\!.*|.*\b(system|source|pager)\b.*", re.IGNORECASE),
    "tcpdump": _option(r"-[A-Za-z]*z.*"), "nmap": _option(r"--script.*"),
    "wget": _option(r"--use-askpass.*|-e.*|--execute.*|--config.*"), "curl": _option(r"-[A-Za-z]*K.*|--conf.*"),
    "install": _option(r"--strip-program.*"), "apt": _option(r"-o.*|-c.*"), "apt-get": _option(r"-o.*|-c.*"),
    "journalctl": _option(r"--pager.*"), "file": _option(r"-[A-Za-z]*[mC].*|--magic.*|--compile"),
    "ld": _option(r"-plugin.*|--plugin.*"), "bat": _option(r"--pager.*|--diff-.*"),
    "fd": _option(r"-[A-Za-z]*[xX].*|--exec.*"), "fdfind": _option(r"-[A-Za-z]*[xX].*|--exec.*"),

    "pip": _option(r"--python.*"), "pytest": _option(r"-p.*|--rootdir.*|-c.*|-o.*|--pyargs.*"),
    "jq": _option(r"-L.*"), "cmake": _option(r"-E|-P"), "ctest": _option(r"-S.*"),

}  # fmt: skip
# What they run is not in their words at all, or is a language of its own.
ALWAYS_CODE = frozenset((
    "ed", "ex", "vi", "vim", "nvim", "view", "rvim", "emacs", "emacsclient", "nano", "gdb", "lldb", "parallel", "tmux",
    "screen", "at", "batch", "crontab", "m4", "dc", "script", "su", "runuser", "pkexec", "logrotate", "capsh",
    "start-stop-daemon", "socat", "nc", "ncat", "netcat", "inotifywait", "watchexec", "rlwrap", "expect", "telnet",
    "ftp", "rundll32", "wsl", "adb", "newgrp", "sg", "machinectl", "lxc", "nsenter", "ld.so", "ld-linux-x86-64.so.2",
    "aria2c", "dpkg-reconfigure", "update-alternatives", "dialog", "fzf", "sk", "peco",
))  # fmt: skip
# Programs whose words are data: names of files, patterns, texts, subcommands of their own.
DATA = frozenset((
    ":", "[", "[[", "true", "false", "echo", "printf", "test", "ls", "dir", "vdir", "cat", "tac", "head", "tail", "wc",
    "grep", "egrep", "fgrep", "zgrep", "rg", "ag", "ack", "cut", "paste", "tr", "sort", "uniq", "comm", "join", "nl",
    "tee", "rev", "fold", "fmt", "column", "expand", "unexpand", "shuf", "seq", "yes", "diff", "cmp", "sdiff", "patch",
    "cp", "mv", "rm", "ln", "mkdir", "rmdir", "touch", "chmod", "chown", "chgrp", "stat", "file", "du", "df", "tree",
    "pwd", "cd", "pushd", "popd", "dirs", "basename", "dirname", "realpath", "readlink", "mktemp", "truncate", "dd",
    "md5sum", "sha1sum", "sha256sum", "sha512sum", "cksum", "base64", "base32", "xxd", "od", "hexdump", "strings",
    "date", "cal", "sleep", "whoami", "id", "groups", "hostname", "uname", "uptime", "free", "nproc", "arch", "tty",
    "ps", "pgrep", "pkill", "kill", "killall", "top", "htop", "lsof", "ss", "netstat", "ip", "ifconfig", "ping", "dig",
    "host", "nslookup", "curl", "wget", "scp", "sftp", "rsync", "tar", "zip", "unzip", "gzip", "gunzip", "bzip2", "xz",
    "zcat", "xzcat", "zstd", "bsdtar", "7z", "which", "type", "whereis", "locate", "apropos", "whatis", "man", "info",
    "help", "less", "more", "jq", "yq", "bc", "expr", "factor", "git", "gh", "hub", "svn", "hg", "make", "gmake",
    "cmake", "ctest", "ninja", "meson", "just", "gcc", "g++", "cc", "c++", "clang", "clang++", "ld", "ar", "nm",
    "objdump", "readelf", "strip", "ldd", "rustc", "cargo", "rustup", "rustfmt", "go", "gofmt", "javac", "mvn",
    "gradle", "ant", "dotnet", "npm", "pnpm", "yarn", "bun", "tsc", "eslint", "prettier", "jest", "vitest", "mocha",
    "webpack", "vite", "next", "turbo", "nx", "pip", "pip3", "pipx", "uv", "poetry", "pipenv", "pdm", "hatch", "rye",
    "conda", "mamba", "pytest", "tox", "nox", "coverage", "ruff", "black", "isort", "flake8", "mypy", "pyright",
    "basedpyright", "pylint", "bandit", "pre-commit", "sphinx-build", "mkdocs", "twine", "virtualenv", "gem", "bundle",
    "rake", "rspec", "rubocop", "composer", "phpunit", "mix", "rebar3", "stack", "cabal", "opam", "dune", "swift",
    "xcodebuild", "pod", "flutter", "dart", "zig", "nim", "docker", "docker-compose", "podman", "kubectl", "helm",
    "terraform", "aws", "gcloud", "az", "psql", "mysql", "sqlite3", "redis-cli", "mongosh", "apt", "apt-get",
    "apt-cache", "dpkg", "brew", "yum", "dnf", "apk", "pacman", "snap", "systemctl", "service", "journalctl", "dmesg",
    "lsblk", "mount", "umount", "env", "printenv", "export", "declare", "typeset", "local", "readonly", "unset", "let",
    "read", "mapfile", "readarray", "getopts", "set", "shift", "return", "exit", "break", "continue", "wait", "jobs",
    "fg", "bg", "disown", "umask", "ulimit", "times", "hash", "shopt", "logout", "history", "suspend", "caller",
    "openssl", "gpg", "ssh-keygen", "ssh-add", "clear", "reset", "tput", "stty", "open", "xdg-open", "pbcopy",
    "pbpaste", "tokei", "cloc", "bat", "exa", "eza", "fd", "fdfind", "hexyl", "iconv", "dos2unix", "unix2dos",
    "envsubst", "gettext", "msgfmt", "pandoc", "convert", "ffmpeg", "ffprobe", "identify", "exiftool", "pdftotext",
    "split", "csplit", "install", "sync", "getent", "locale", "localedef", "sw_vers", "defaults", "ntpdate",
    "timedatectl", "lscpu", "lspci", "vmstat", "iostat", "numfmt", "tsort", "ptx", "sum", "link", "unlink", "mkfifo",
    "mknod", "mkfs", "fallocate", "shred", "wipefs", "blkdiscard", "mke2fs", "pathchk", "letta-code", "pr", "look",
    "colrm", "ul", "cspell", "shellcheck", "shfmt", "hadolint", "yamllint", "markdownlint", "codespell", "typos",
))  # fmt: skip
# Programs that run what the files of the project say, and such files.
BUILDERS = frozenset((
    "make", "gmake", "cmake", "ctest", "ninja", "meson", "just", "cargo", "go", "mvn", "gradle", "ant", "dotnet", "npm",
    "pnpm", "yarn", "bun", "jest", "vitest", "mocha", "webpack", "vite", "pip", "pip3", "uv", "poetry", "hatch",
    "pytest", "tox", "nox", "pre-commit", "rake", "rspec", "bundle", "composer", "phpunit", "mix", "docker", "eslint",
))  # fmt: skip
BUILD_FILES = frozenset((
    "Makefile", "makefile", "GNUmakefile", "CMakeLists.txt", "build.ninja", "meson.build", "justfile", "Justfile",
    "Cargo.toml", "build.rs", "go.mod", "pom.xml", "build.gradle", "build.xml", "package.json", ".npmrc", "setup.py",
    "setup.cfg", "pyproject.toml", "conftest.py", "pytest.ini", "tox.ini", "noxfile.py", ".pre-commit-config.yaml",
    "Rakefile", "Gemfile", "composer.json", "mix.exs", "Dockerfile", "Taskfile.yml", "vite.config.js", "jest.config.js",
))  # fmt: skip
GIT_SUBCOMMANDS = frozenset((
    "add", "am", "apply", "archive", "bisect", "blame", "branch", "bundle", "cat-file", "check-attr", "check-ignore",
    "checkout", "cherry", "cherry-pick", "clean", "clone", "commit", "config", "count-objects", "describe", "diff",
    "diff-files", "diff-index", "diff-tree", "fetch", "for-each-ref", "format-patch", "fsck", "gc", "grep",
    "hash-object", "help", "init", "log", "ls-files", "ls-remote", "ls-tree", "maintenance", "merge", "merge-base",
    "merge-tree", "mv", "name-rev", "notes", "prune", "pull", "push", "range-diff", "rebase", "reflog", "remote",
    "repack", "replace", "request-pull", "reset", "restore", "rev-list", "rev-parse", "revert", "rm", "shortlog",
    "show", "show-branch", "show-ref", "sparse-checkout", "stash", "status", "submodule", "switch", "symbolic-ref",
    "tag", "update-index", "update-ref", "var", "verify-commit", "verify-pack", "verify-tag", "version", "whatchanged",
    "worktree", "write-tree", "commit-tree", "read-tree", "stripspace", "column", "interpret-trailers", "lfs",
    "--version", "--help",
))  # fmt: skip
