# Sourced by the scripts: find_python prints a Python that can make the environment, or says what is missing.

find_python() {
    seen=
    if [ -n "${LETTA_PYTHON:-}" ]; then
        set -- "$LETTA_PYTHON"
    else
        set -- python3.13 python3.12 python3.11 python3
    fi
    for candidate; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        # A name on the PATH need not run: version managers put stubs there. Ask it.
        said=$("$candidate" -c '
import sys
print("%d.%d" % sys.version_info[:2])
if sys.version_info < (3, 11): sys.exit(3)
try:
    import ensurepip, venv
except ImportError: sys.exit(4)
' 2>/dev/null) && { command -v "$candidate"; return 0; }
        case $? in
            3) seen="$seen
  $candidate is Python $said: too old" ;;
            4) seen="$seen
  $candidate (Python $said) has no venv module. On Debian and Ubuntu: apt install python$said-venv" ;;
        esac
    done
    printf 'letta-code needs Python 3.11 or newer with the venv module.%s\n' "$seen" >&2
    if [ -z "$seen" ]; then
        echo 'No python3 was found. Debian, Ubuntu: apt install python3 python3-venv. macOS: brew install python@3.13' >&2
    fi
    echo 'Another Python can be named: LETTA_PYTHON=/path/to/python3.12' >&2
    return 1
}
