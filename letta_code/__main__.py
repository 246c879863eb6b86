"""The command `letta-code`: answers --version before anything is imported, and leaves the rest to `letta_code.cli`."""

import sys

from letta_code import __version__


def main() -> int:
    """Run the command line in `sys.argv` and return the process's exit code."""
    argv = sys.argv[1:]
    if argv and argv[0] in ("--version", "-V"):
        try:
            sys.stdout.write(f"letta-code {__version__}\n")
            sys.stdout.flush()
            return 0
        except (OSError, AttributeError):
            pass  # full, or closed (None): the command line below tells it
    from letta_code.cli import main as command_line

    return command_line(argv)


if __name__ == "__main__":
    # `python -m` puts the working directory first on the path: a project's own `json.py` must not become ours.
    if not sys.flags.safe_path:
        del sys.path[0]
    sys.exit(main())
