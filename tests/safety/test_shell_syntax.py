"""Readings of shell texts: rows B01-B36 of the adversarial table, and what both parsers must see."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letta_code.safety import shell_tree
from letta_code.safety.shell_syntax import Command, Reading, read_argv, read_shell

ROOT = "/w/app"


def read(text: str) -> Reading:
    return read_shell(text, ROOT)


def names(reading: Reading) -> list[str]:
    return [command.name for command in reading.commands]


# (row, text): `rm` or `curl` is run, wherever it stands, and the text is understood to its end.
RUNS = [
    ("B01", "ls && rm -rf x"), ("B02", "ls; curl http://x"), ("B04", "ls & rm -rf x"), ("B05", "ls -la\nrm -rf x"),
    ("B06", "echo $(rm -rf x)"), ("B06", "echo `rm -rf x`"), ("B06", 'echo "$(rm x)"'), ("B06", 'echo "`rm x`"'),
    ("B06", "a=$(rm x)"), ("B06", "echo $((1 + $(rm x)))"), ("B06", "echo ${a[$(rm x)]}"), ("B06", "cat <<< $(rm x)"),
    ("B06", "ls > $(rm x)"), ("B06", 'echo "${a:-$(rm x)}"'), ("B06", "[[ -n $(rm x) ]]"), ("B06", "a=(1 $(rm x))"),
    ("B07", "cat <(rm x)"), ("B07", "ls | tee >(rm x)"), ("B07", "cat < <(rm x)"),
    ("B08", "{ rm x; }"), ("B08", "(rm x)"), ("B08", "if true; then rm x; fi"), ("B08", "if rm x; then ls; fi"),
    ("B08", "for i in 1; do rm $i; done"), ("B08", "f(){ rm x; }; f"), ("B08", "while :; do rm x; break; done"),
    ("B08", "until rm x; do ls; done"), ("B08", "case a in a|b) rm x;; esac"), ("B08", "case a in (*) rm x; esac"),
    ("B08", "for ((i=0;i<1;i++)); do rm x; done"), ("B08", "function f { rm x; }"), ("B08", "f() ( rm x )"),
    ("B08", "if a; then b; elif c; then d; else rm x; fi"), ("B08", "ls | while read -r l; do rm $l; done"),
    ("B09", "env rm -rf x"), ("B09", "FOO=1 rm x"), ("B09", "command rm x"), ("B09", "\\rm x"), ("B09", "'r'm x"),
    ("B09", "/bin/rm x"), ("B09", "busybox rm x"), ("B09", "$'r\\x6d' x"), ("B09", 'r"m" x'), ("B09", "r\\\nm x"),
    ("B09", "env 'A=1' rm x"), ("B09", "env a-b=1 rm x"), ("B09", "env -u A B=1 rm x"), ("B09", "command -p rm x"),
    ("B09", "exec -a ls rm x"), ("B09", "sudo -u me rm x"),
    ("B10", "timeout 5 rm x"), ("B10", "timeout -k 1 --signal=KILL 5 rm x"), ("B10", "nice -n 5 rm x"),
    ("B10", "nice -5 rm x"), ("B10", "nohup rm x"), ("B10", "setsid rm x"), ("B10", "stdbuf -o0 rm x"),
    ("B10", "xargs rm < f"), ("B10", "ls | xargs -0 -n 1 rm"), ("B10", "find . -exec rm {} +"), ("B10", "time rm x"),
    ("B10", "find . -exec ls {} \\; -o -execdir rm {} \\;"), ("B10", "! rm x"), ("B10", "time -p rm x"),
    ("B10", "watch -n 5 rm x"), ("B10", "env nice timeout 5 nohup rm x"),
    ("B13", "bash -c 'rm x'"), ("B13", 'sh -c "rm x; ls"'), ("B13", "eval 'rm x'"), ("B13", "eval r'm' x"),
    ("B13", "bash -c 'bash -c \"rm x\"'"), ("B13", "bash <<'E'\nrm x\nE"), ("B13", "sh <<< 'rm x'"),
    ("B13", "find . -exec sh -c 'rm \"$1\"' _ {} \\;"), ("B13", "git bisect run rm x"), ("B13", "ssh host rm x"),
    ("B24", "true && " * 60 + "rm x"), ("B27", "ls # \nrm x"), ("B27", "cat << EOF\n$(rm x)\nEOF"),
    ("B27", "cat <<-E\n\t$(rm x)\n\tE"), ("B27", "echo a#b; rm x"), ("B27", "cat <<'E' && rm x\na\nE"),
    ("B27", "cat <<A <<'B'\n$(rm x)\nA\n$(ls)\nB"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "text"), RUNS)
def test_every_command_is_found(row: str, text: str) -> None:
    reading = read(text)
    assert {"rm", "curl"} & set(names(reading)), reading
    if "<<A <<'B'" not in text and "<<-" not in text:  # what the other parser takes for something else
        assert reading.whole, reading.doubt


# Texts whose commands cannot be told before they run: doubted, in words for people.
DOUBTED = [
    ("B12", "a=rm; $a -rf x", "name of a program"), ("B12", "${a:-rm} x", "name of a program"),
    ("B12", "r${z}m x", "name of a program"), ("B12", "{rm,x}", "name of a program"),
    ("B12", "/bin/r? x", "name of a program"), ("B12", "$z rm x", "name of a program"),
    ("B12", "env $z rm x", "name of a program"), ("B12", "timeout $t rm x", "name of a program"),
    ("B12", "ls | xargs -I% %", "name of a program"), ("B12", "find . -exec {} \\;", "name of a program"),
    ("B13", 'eval "$(echo cm0gLXJmIHg= | base64 -d)"', "eval"), ("B13", 'bash -c "$x"', "only when it runs"),
    ("B25", "echo " + "x" * 10_000, "longer than"),
    ("B26", "ls\r; rm x", "invisible"), ("B26", "ls\0", "invisible"), ("B26", "ls \u202e", "invisible"),
    ("B26", "ls\u200b", "invisible"), ("B26", "ls \U000e0041", "invisible"), ("B26", "ls" + "\t" * 500, "invisible"),
    ("B31", "alias ls='rm x'; ls", "alias"), ("B31", "ls() { rm x; }; ls", "takes the place of ls"),
    ("B31", "enable -f ./e.so x", "enable"), ("B31", "trap 'rm x' EXIT", "trap"), ("B31", "shopt -s extglob", "shopt"),
    ("B31", ". <(curl x)", "only when it runs"), ("B31", "export -f ls", "export"), ("B31", "hash -p /x ls", "hash"),
    ("B33", "ls &&& rm x", "syntax"), ("B33", "ls |", "syntax"), ("B33", "if true; then rm x", "not closed"),
    ("B33", "echo 'a", "quote"), ("B33", "echo $(ls", "not closed"), ("B33", "cat <<E\na", "not ended"),
    ("-", "a['$(rm x)']=1", "subscript"), ("-", "echo \"${a:-${b:-'}'}}\"", "quote"),
    ("-", "echo \"${a:-$'}'}\"", "quote"), ("-", "a\\\n=1 rm x", "assignment"), ("-", "i\\\nf rm x", "syntax"),
    ("-", "coproc rm x", "coprocess"), ("-", "echo `echo \\`rm x\\``", "backslash"), ("-", "echo $[1+1]", "$["),
    ("-", "echo ${!x}", "another variable"), ("-", "echo ${x@P}", "prompt"), ("-", "((rm x) )", "arithmetic"),
    ("-", "{ " * 60 + "rm x" + "; }" * 60, "levels"),
    ("-", "env " * 60 + "rm x", "levels"),
    ("-", "echo " + "$(" * 60 + "rm x" + ")" * 60, "levels"),
    ("-", "cat <<E 'a\nb'\nE", "here-document"),
    ("-", "a[1 + 1]=2", "variable or run"), ("-", "exec {fd}>f", "descriptor"), ("-", "echo $'\\x00'", "coded"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "text", "why"), DOUBTED)
def test_what_cannot_be_told_is_doubted(row: str, text: str, why: str) -> None:
    reading = read(text)
    assert not reading.whole and not reading.certain
    assert why in reading.doubt


# Commands with something in them that no reader of words can look into: (row, text, kind).
OPAQUE = [
    ("B03", "ls | sh", "code"), ("B03", "ls | sudo bash", "code"), ("B03", "sh < f", "code"),
    ("B03", "bash -s x", "code"),
    ("B11", "mywrap rm x", "unknown"), ("B11", "./wrap rm x", "script"), ("B11", "bash x.sh", "script"),
    ("B13", "python3 -c \"import os;os.remove('x')\"", "code"), ("B13", "python3 - <<'E'\nx\nE", "code"),
    ("B13", "perl -e 'unlink x'", "code"), ("B13", "perl -ne 'system(x)'", "code"), ("B13", "node -p '1'", "code"),
    ("B13", "awk 'BEGIN{system(\"rm x\")}'", "code"), ("B13", "awk '{print | \"sh\"}'", "code"),
    ("B13", "sed '1e rm x' f", "code"), ("B13", "sed s/a/b/e f", "code"), ("B13", "sed -f s f", "code"),
    ("B13", "vim -c ':!rm x'", "code"), ("B13", "python3 x.py", "script"), ("B13", "ls | xargs env", "code"),
    ("B13", "ls | xargs sh -c", "code"), ("B13", "ls | xargs -I% sh -c 'echo %'", "code"),
    ("B13", "find . -exec sh -c 'echo {}' \\;", "code"), ("B13", "echo x | parallel", "code"),
    ("B14", "LD_PRELOAD=./e.so ls", "code"), ("B14", "BASH_ENV=e.sh ls", "code"), ("B14", "PATH=.:$PATH ls", "code"),
    ("B14", "GIT_SSH_COMMAND=./x git status", "code"), ("B14", "export PATH=.; ls", "code"),
    ("B14", "env LD_PRELOAD=x ls", "code"), ("B14", "read PATH; ls", "code"),
    ("B14", "for PATH in .; do ls; done", "code"),
    ("B18", "rg --pre ./x a", "code"), ("B18", "rg --hostname-bin ./x", "code"), ("B18", "rg -z a", "code"),
    ("B19", "tar --to-command=x -xf a", "code"), ("B19", "tar xf a --checkpoint-action=exec=x", "code"),
    ("B19", "zip -TT x a", "code"), ("B19", "man -P x ls", "code"), ("B19", "sort --compress-program=x f", "code"),
    ("B19", "tar cf a --checkpoint-action='exec=a\nb'", "code"), ("B19", "split --filter='a\nb' f", "code"),
    ("B20", "git grep -Ox p", "code"), ("B20", "git -c core.pager=x log", "code"),
    ("B20", "git --exec-path=. status", "code"),
    ("B20", "git ls-remote ext::sh", "code"), ("B20", "git rebase -x x", "code"), ("B20", "git frob", "code"),
    ("B20", "git config alias.z '!rm x'", "code"), ("B20", "git clone --upload-pack=x y", "code"),
    ("B31", "source ./x", "script"),
    ("-", "v='a[$(rm x)]'; echo $((v))", "code"), ("-", "x=1; v=x; x='a[$(rm x)]'; ((v))", "code"),
    ("-", "test -v 'a[$(rm x)]'", "code"), ("-", "printf -v 'a[$(rm x)]' x", "code"),
    ("-", "let 'a[$(rm x)]=1'", "code"),
    ("-", "read v; [[ $v -eq 1 ]]", "code"), ("-", "mapfile -C 'rm x' v", "code"), ("-", "unset 'a[$(rm x)]'", "code"),
    ("-", ": 'a[$(rm x)]'; echo $((_))", "code"), ("-", "set -- 'a[$(rm x)]'; echo $(($@))", "code"),
    ("-", "read < f; echo $((REPLY))", "code"), ("-", "declare -a 'a=([$(rm x)]=1)'", "code"),
    ("-", "ls | xargs sed -i s/a/b/", "code"), ("-", "env --frob rm x", "code"),
    ("-", "echo x > s.sh; bash s.sh", "code"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "text", "kind"), OPAQUE)
def test_what_cannot_be_looked_into_is_named(row: str, text: str, kind: str) -> None:
    reading = read(text)
    assert kind in {one.kind for one in reading.opaque}, reading


# Words that are data: no command of that name, and nothing opaque (B28, B29).
HARMLESS = [
    "echo 'rm -rf x'", 'grep -R "curl" .', "cat << 'EOF' > f\nrm -rf x\n$(rm y)\n`rm z`\nEOF", "echo \\; rm x",
    'echo "\\$(rm x)"', "echo '$(rm x)'", "ls # ; rm x", "command -v rm", "git log --grep=rm", "[[ a == '; rm x' ]]",
    "case rm in rm) ls;; esac", "for i in rm; do echo $i; done", "sed -n '/rm/p' f", "awk '/rm/ {print $1}' f",
    "git commit -m 'rm the file; rm x'", "echo {rm,x}", "x='rm x'; ls", "find . -name rm",
    "echo \"it's\" 'rm x'", "echo $'\\'; rm x'", "echo $((1 + 2))", "i=1; ((i++)); echo $((i + 1))", "cat f | head -3",
    "git commit -m \"$(cat <<'EOF'\nfix: (a) `b` \"c\"\n\nrm x\nEOF\n)\"", "set -euo pipefail; ls", "make -j$(nproc)",
    "if [ -f a ]; then cat a; elif [[ $b =~ ^(x|y)$ ]]; then ls; fi", "ls 2>&1 | grep -v x",
    "printf -v x '%s' \"$y\"", "make > build.log",
    "sed -i s/a/b/ src/x.c && make", "echo é && ls ü",
    "GIT_PAGER=cat git log", "while IFS= read -r l; do echo $l; done < f",
    "sed -i 's/a/b/g; s|c|d|' f", "sed -e '1,5d' -e '$!N;s/\\n/ /' f", "timeout 5 ls",
]  # fmt: skip


@pytest.mark.parametrize("text", HARMLESS)
def test_data_is_no_command(text: str) -> None:
    reading = read(text)
    assert reading.whole, reading.doubt
    assert not {"rm", "curl"} & set(names(reading)) and not reading.opaque, reading


@pytest.mark.parametrize(
    ("text", "operator", "target"),
    [
        ("ls > ~/.bashrc", ">", "~/.bashrc"), ("echo k >> ~/.ssh/authorized_keys", ">>", "~/.ssh/authorized_keys"),
        ("ls >| f", ">|", "f"), ("ls &> f", "&>", "f"), ("ls &>> f", "&>>", "f"), ("ls 3>f", ">", "f"),
        ("exec > f", ">", "f"), ("echo x > /tmp/../etc/cron.d/x", ">", "/tmp/../etc/cron.d/x"), ("> f", ">", "f"),
        ("{ ls; } > f", ">", "f"), ("(ls) >> 'a b'", ">>", "a b"), ("while :; do ls; done > f", ">", "f"),
        ("cat << 'EOF' > f\nrm -rf x\nEOF", ">", "f"), ("ls >& f", ">&", "f"), ("ls <> f", "<>", "f"),
        ("bash -c 'ls > f'", ">", "f"), ("find . -fprint f", ">", "f"), ("echo $(ls > f)", ">", "f"),
        ("if true; then ls; fi 2> f", ">", "f"), ("f() { ls; } > f", ">", "f"),
    ],
)  # fmt: skip
def test_writes_are_seen(text: str, operator: str, target: str) -> None:
    """B15, B16, B17: each redirection with where it goes."""
    [found] = [one for one in read(text).redirects if one.writes]
    assert (found.operator, found.target) == (operator, target)


def test_copies_of_descriptors_and_input_write_nothing() -> None:
    reading = read("ls 2>&1 < f >&2 2>&- | cat 0<g")
    assert [one.target for one in reading.redirects] == ["f", "g"] and not any(r.writes for r in reading.redirects)
    assert not read('ls > "$x"').redirects[0].literal


@pytest.mark.parametrize(
    ("text", "cwd", "known"),
    [
        ("cd / && cat etc/shadow", "/", True), ("pushd ..; cat x", "/w", False),
        ("cd sub && cat ../../x", "/w/app/sub", True),
        ("cd sub; cat x", "/w/app/sub", False), ("cd $x && cat y", "/w/app", False),
        ("cd a && cd b && cat x", "/w/app/a/b", True),
        ("(cd a && ls) && cat x", "/w/app", True), ("cd a | ls; cat x", "/w/app", True),
        ("cd a & cat x", "/w/app", True),
        ("cd a || cat x", "/w/app/a", False), ("true || cd a && cat x", "/w/app/a", False),
        ("cd - && cat x", "/w/app", False),
        ("f() { cd a; }; f; cat x", "/w/app", False), ("eval 'cd a'; cat x", "/w/app", False),
        ("for i in 1 2; do cat x; cd ..; done", "/w/app", False), ("if cd a; then cat x; fi", "/w/app/a", False),
        ("! cd a && cat x", "/w/app/a", False), ("source x; cat x", "/w/app", False), ("cat x", "/w/app", True),
        ("echo $(cd a && ls) && cat x", "/w/app", True), ("cd a && bash -c 'cat x'", "/w/app/a", True),
    ],
)  # fmt: skip
def test_folders_are_followed(text: str, cwd: str, known: bool) -> None:
    """B30: where `cat` runs; after a `cd` that may have failed or cannot be read, the folder is not known."""
    [cat] = [command for command in read(text).commands if command.name == "cat"]
    assert cat.cwd_known is known
    assert not known or cat.cwd == cwd


def test_words_and_what_is_known_of_them() -> None:
    """B32: globs, braces, home folders and variables are not literal."""
    words = "ls ~root {/etc,/root} /e*c '*' \"$x\" a\\ b 'c'd"
    [command] = read(words).commands
    assert command.words == ("ls", "~root", "{/etc,/root}", "/e*c", "*", "$x", "a b", "cd")
    assert command.literal == (True, False, False, False, True, False, True, True)


def test_certain_is_one_simple_command() -> None:
    certain = ["ls -la", "cd sub && npm test", "pytest -q 2>&1 | tail -30", "timeout 5 rm x"]
    assert all(read(text).certain for text in certain)
    assert read("cd sub && npm test").commands[0] == Command(
        words=("npm", "test"), cwd="/w/app/sub", literal=(True, True)
    )
    for text in ("echo hi && ls", "ls > f", "FOO=1 ls", "ls $x", "ls *", "f() { ls; }", "time ls", "eval ls", "$(ls)"):
        assert not read(text).certain, text


def test_an_argv_is_read_through_its_wrappers() -> None:
    reading = read_argv(("env", "A=1", "bash", "-c", "rm $x"), ROOT)
    assert names(reading) == ["env", "bash", "rm"] and reading.whole and reading.certain
    assert not read_argv(("bash", "-c", "rm $("), ROOT).whole


@pytest.mark.parametrize(
    "text", ["cat <<E\n`rm x`\nE", "echo \"a\n$(rm x)\"", "case x in\n a) rm x;;\nesac"]
)  # fmt: skip
def test_both_parsers_are_asked(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text is whole only when tree-sitter finds the same commands."""
    read_shell.cache_clear()
    monkeypatch.setattr(shell_tree, "differs", lambda *_: "no")
    assert read(text).doubt == "no"
    read_shell.cache_clear()


def test_the_other_parser_sees_a_missing_or_a_further_command() -> None:
    assert shell_tree.differs("ls && rm x", {0, 6}) == ""
    assert shell_tree.differs("é && rm x", {0, 5}) == ""
    assert "two parsers" in shell_tree.differs("ls && rm x", {0})
    assert "two parsers" in shell_tree.differs("ls 'rm x'", {0, 4})
    assert "syntax" in shell_tree.differs("ls &&& rm x", {0, 7})


def test_the_other_parser_never_gets_what_crashes_it() -> None:
    """Its scanner reads outside a table for characters far beyond ASCII, which ended the process now and then."""
    far = [chr(code) for code in range(0x3000, 0x10FFFF, 0x101) if not 0xD800 <= code < 0xE000]
    for char in far:
        for text in (f"echo {char}", f"{char}=1", f"${char}", f"a{char}[0]=1", f"cat <<{char}\n{char}\n", f"#{char}"):
            shell_tree.differs(text, set())


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet="ab '\"\\`$(){}[]#;&|<>!\n=*cd12Eif-", max_size=60))
def test_any_text_has_a_reading(text: str) -> None:
    reading = read(text)
    assert reading.whole or reading.doubt
    assert not reading.certain or reading.whole


@pytest.mark.parametrize(
    "part",
    ["rm ", "<<'a'\n", "$(", "'", "env rm -rf ; ", "cd x && ", "=:,", "(", "{ ", "`", "${a:-", "sed s/a/b/ ;", "a=1 ",
     "[[ a =~ (", "cat <<E\n", "f() { ", "case x in ", "\\\n", "\"$(", "((1+", "xargs "],
)  # fmt: skip
def test_repeated_parts_end_soon(part: str) -> None:
    """The work grows with the length, not with its square, and no depth overflows the stack."""
    read(part)  # what is loaded at the first text is not counted
    short, long = (part * 10_000)[:5_000], (part * 10_000)[:10_000]
    assert steps_to_read(long) < 3 * steps_to_read(short)
    assert read(long).whole == (part in _WITHOUT_END)


_WITHOUT_END = ("rm ", "'", "env rm -rf ; ", "=:,", "sed s/a/b/ ;", "a=1 ")  # any number of them is a whole text


def steps_to_read(text: str) -> int:
    """The calls of functions that a reading takes: the same on every machine, unlike seconds."""
    counted = 0

    def count(_frame: object, _event: str, _argument: object) -> None:
        nonlocal counted
        counted += 1

    read_shell.cache_clear()
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        read(text)
    finally:
        sys.setprofile(before)
    return counted
