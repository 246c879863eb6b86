"""Shell texts around canaries: wrappers, quoting, separators, substitutions, redirections, here-documents, keywords."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

CANARIES = ("canary", "canary2", "canary3")
# Ways to write the name of a program; {c} is the name, {h} and {t} its two parts.
_SPELLINGS = (
    "{c}", "{c}", "{c}", "{c}", "'{c}'", '"{c}"', "\\{c}", "{h}''{t}", '{h}""{t}', "{h}\\\n{t}", "$'{c}'",
    "$'\\x63{u}'", "{h}\\{t}", '\'{h}\'"{t}"', "/tmp/shims/{c}", "${{none:-{c}}}", "$(echo {c})", "{h}$none{t}",
    "`echo {c}`", "/tmp/shims/{h}?{v}", "/tmp/shims/{h}*", "{{{c},x}}", "$none {c}", '"$none"{c}', "~+/../shims/{c}",
)  # fmt: skip
_ARGUMENTS = (
    "", "x", "-rf x", "'a b'", '"$HOME"', "$none", "*", "a#b", "\\#", "'#'", '"it\'s"', '\'say "x"\'', "$'a\\'b'",
    "{a,b}", "\\;", "'$(x)'", "\\$", "x=1", "--", "-c", "%s", "${none:-}", "${none:+'x'}", '"a\\"b"', "é", "{}", "]]",
    "fi", "done", "}", "!", "[", "\\\n", "$((1+1))", "a[0]", "~", "$$", "<f", "2>&1", ">/dev/null", "2>/dev/null",
    ">o", "${#none}", '"${none:-"q"}"', "$'\\n'", '"`echo a`"',
)  # fmt: skip
# Words in front of a command; the last part says how its text must be quoted.
_PREFIXES = (
    "env", "env A=1", "env -u A", "env --", 'env -i PATH="$PATH"', "command", "command --", "command -p", "exec",
    "nohup", "timeout 5", "timeout -k 1 5", "timeout --signal=KILL 5", "nice", "nice -n 5", "nice -5", "setsid",
    "setsid -w", "stdbuf -o0", "stdbuf -o 0", "A=1", "A=1 B='x y'", "A=$(echo 1)", "!", "time", "time -p", "! time",
    ">o", "<f", "2>&1", "mywrap", "A+=1", "a[0]=1", "ionice", "builtin command", "env A=1 env", "command env",
    "xargs -r <list", "exec -a x", "eval", "env -S", "env -v", "nohup nice", "time env", ">&2", "3>o", "&>o",
    "builtin", "if", "coproc", "xargs -I{} <f", "find . -maxdepth 0 -exec", "find . -maxdepth 0 -execdir", "trap",
    "source", ".", "python3 -c", "command -v", "echo", "timeout $none 5", 'timeout "5"', "nice $none", "env $none",
    "exec 2>o", "function g", "alias q=", "set --", "eval --",
)  # fmt: skip
_AROUND = (
    "echo $({x})", "echo `{x}`", 'echo "$({x})"', 'echo "`{x}`"', "cat <({x})", "echo a >({x})", "v=$({x})",
    'v="$({x})"', "v[$({x})]=1", "echo ${{v[$({x})]}}", "echo $(({x}))", "echo $((v[$({x})]))",
    "echo ${{none:-$({x})}}", 'echo "${{none:-$({x})}}"', 'echo "${{none:-`{x}`}}"', "echo ${{none:-{x}}}",
    "cat > o <<< $({x})",
    "cat <<< $({x})", 'cat <<< "$({x})"', "echo a > $({x}; echo o)", "[[ $({x}) ]]", "[[ -n $({x}) && x == x ]]",
    "(( $({x}; echo 1) ))", "case $({x}) in *) ;; esac", "case a in a) {x};; esac",
    "case a in b) ;; a|c) {x} ;; esac", "case a in (a) {x} ;; esac", "case x in $({x})) ;; esac",
    "for i in $({x}); do :; done", "for i in 1; do {x}; done", "for ((i=0;i<1;i++)); do {x}; done",
    "for i in 1\ndo\n{x}\ndone", "while {x}; do break; done", "while :; do {x}; break; done",
    "until {x}; do break; done", "if {x}; then :; fi", "if :; then {x}; fi", "if false; then :; else {x}; fi",
    "if false; then :; elif {x}; then :; fi", "{{ {x}; }}", "( {x} )", "({x})", "((({x})))", "f() {{ {x}; }}; f",
    "f() ( {x} ); f", "function f {{ {x}; }}; f", "function f() {{ {x}; }}\nf", "ls() {{ {x}; }}; ls",
    "select i in 1; do {x}; break; done </dev/null", "{{ {x}; }} >o 2>&1", "( {x} ) | cat", "echo a | {{ {x}; }}",
    "echo a | while read l; do {x}; done", "while read l; do {x}; done < f", "{x} | cat", "{x} |& cat",
    "echo $(echo $({x}))", 'echo "$(echo "$({x})")"', "echo $(ls; {x})", "echo $(\n{x}\n)", "echo $( # c\n{x}\n)",
    "! {{ {x}; }}", "time {{ {x}; }}", '[ "$({x})" ]', "test -z $({x})", "echo {{a,$({x})}}", "a=($({x}))",
    "a=([0]=$({x}))", "declare v=$({x})", "export V=$({x})", "local v=$({x})", "echo ${{none:=$({x})}}",
    "echo ${{HOME/x/$({x})}}", "$({x})", "echo ${{HOME:$({x}; echo 0)}}", "echo $[ $({x}; echo 1) ]",
    "coproc {{ {x}; }}", "{x} &", "{x} & wait", "({x} &)", "{{ {x} & }}; wait", "echo ${{none:-'$({x})'}}",
    'echo "${{none:-\'$({x})\'}}"', 'echo $"$({x})"', "cat < <({x})", "exec 3< <({x})", "echo '$({x})'",
    "echo \\$\\({x}\\)", 'echo "\\$({x})"', "# {x}", "echo a # {x}", "echo '{x}'",
)  # fmt: skip
_TEXTS = (
    "a['$({r})']=1", 'a["$({r})"]=1', ": 'a[$({r})]'; echo $((_))", "set -- 'a[$({r})]'; echo $(($@))",
    "declare -a 'a=([$({r})]=1)'", "read <<< 'a[$({r})]'; echo $((REPLY))", 'echo "${{none:-${{n:-\'$({r})\'}}}}"',
    'echo "${{none:-$\'$({r})\'}}"', "env 'A=1' {x}", "A\\\n=1 {x}", "i\\\nf {x}; then :; fi", "wait -p 'a[$({r})]'",
    "[[ -v 'a[$({r})]' ]]", "echo ${{v['$({r})']}}", "v['$({r})']+=1", "for v in 'a[$({r})]'; do echo $((v)); done",
    "f() {{ echo $(($1)); }}; f 'a[$({r})]'", "local 'v[$({r})]=1'", "export 'v=$({r})'; echo $((v))",
    "v=x; x='a[$({r})]'; echo ${{HOME:v}}", "echo -e1e{r} | xargs sed p f", "env a-b=1 {x}", "exec 3<&0; {x}",
    "$\\\n({x})", "echo $\\\n({x})", "v=$'a[\\x24({r})]'; ((v))", "printf -v v %s 'a[$({r})]'; ((v++))",
    "declare -n v='a[$({r})]'; echo $v", "a=([v]='$({r})'); echo $((a))", "sh -c {q}", "bash -c {q}", "bash -ec {q}",
    "bash -c -e {q}", "bash -xc {q} a b", "sh -c {q} -- x", "eval {q}", "bash -c $'{r}'", "trap {q} EXIT",
    "bash <<< {q}", "bash <<'E'\n{x}\nE", "bash <<E\n{x}\nE", "sh -s <<'E'\n{x}\nE", "echo {q} | sh",
    "printf %s {q} | bash", "cat <<'E' | bash\n{x}\nE", "echo {q} > s1; bash s1", "echo {q} > s2; . ./s2",
    "source /dev/stdin <<< {q}", "bash <(echo {q})", "mapfile -C {q} -c 1 v < f", "PS4='$({r})'; set -x; :",
    "v='a[$({r})]'; echo $((v))", "v='a[$({r})]'; [[ v -eq 1 ]]", "test -v 'a[$({r})]'", "printf -v 'a[$({r})]' x",
    "v=\\$\\({r}\\); echo ${{v@P}}", "unset 'a[$({r})]'", "read 'a[$({r})]' < f", "declare -i v='a[$({r})]'",
    "let 'a[$({r})]=1'", 'awk \'BEGIN{{system("{r}")}}\'', 'perl -e \'system("{r}")\'',
    'python3 -c \'import os; os.system("{r}")\'', "echo x | sed '1e {r}'", "xargs -I% sh -c % <<< {q}",
    "find . -maxdepth 0 -exec sh -c {q} \\;", "env -S {q}", "alias q={q}; q",
    "shopt -s expand_aliases\nalias q={q}\nq", "env sh -c {q}", "compgen -W '$({r})'", "BASH_ENV=list bash -c :",
    "x={q}; $x", 'x={q}; eval "$x"', 'x={q}; bash -c "$x"', "command eval {q}", "builtin eval {q}", "eval $none {q}",
    'bash -c "{d}"', 'sh -c "true; {d}"', "export -f f; f() {{ {x}; }}; bash -c f", "exec sh -c {q}",
    'v=\'$({r})\'; echo "${{v}}"', "trap -- {q} 0", "git -c alias.z='!{r}' z", "GIT_PAGER={q} git -p version",
    "echo {q} | xargs sh -c", "echo {q} | xargs", "echo {r} | xargs env", "echo {r} | xargs -I% %",
    'bash -c \'eval "$1"\' _ {q}', "sh -c '$1' _ {q}",
    "tar cf /dev/null f --checkpoint=1 --checkpoint-action=exec={q}", "sort --compress-program={q} f",
    "echo {q} > PAGER", "jobs -x {r}", "find . -maxdepth 0 -exec bash -c 'eval {{}}' \\;", "split --filter={q} f",
    'v=({q}); eval "${{v[@]}}"', "tee s3 <<< {q}; sh s3",
)  # fmt: skip
_NOISE = (
    'echo "it\'s"', 'echo \'a"b\'', "echo \\'", "echo $'it\\'s'", "echo ${none:-'}'}", 'echo "${none:-\'}\'}"',
    'echo "${none//\\\'/}"', 'echo ${none#"}"}', "echo a#b", "echo \\# c", "echo '#'", 'echo "#"',
    ': # it\'s a "comment', "cat <<E\nit's\nE", "cat <<'E'\n$(x `\nE", "cat <<-E\n\ta\n\tE", 'cat <<"E F"\nx\nE F',
    "cat <<\\E\n`\nE", "cat <<E\n E\nE\\\nx\nE", "cat <<A; cat <<B\na\nA\nb\nB", "echo a\\\nb", "[[ a =~ ^(a|b)$ ]]",
    "[[ a == [ab]* ]]", "case a in *) ;; esac", "echo {a,b}", "x=1", "x='a b' y=2", "true", "echo $((1<<2))",
    "((1<2))", 'echo "a\nb"', "echo 'a\nb'", 'echo "$(echo \')\')"', "echo $(echo ')')",
    "echo $(case a in a) echo b;; esac)", "echo `echo '\\`'`", "echo $(cat <<E\n)\nE\n)", 'echo "${none:-"a b"}"',
    "let 'x=1'", "echo $'\\\\'", "echo '\\'", 'echo "\\\\"', "time :", "! false", "echo a >&2 2>&1", "echo >o b",
    "echo 2>o", "exec 3>&1", "f2() { :; }", "for i in a b; do :; done", "a=(1 2)", "echo ${a[@]}",
    "cat <<E | cat\nx\nE", "cat <<E && true\n$none\nE", "if true; then echo y; fi", "echo ${none%%\\}}", "echo ~",
    "ls -a", "cat f", "pwd", "echo $(( (1) ))", "( (true) )", "echo [a]", "set -e", "set +e", "shopt -s extglob",
    "echo !(a)", "echo @(a|b)", "read v < f", "v=$(cat f)", "echo $((v))", "cd .", "cd sub; cd ..",
)  # fmt: skip
# Texts that are not whole.
_BROKEN = (
    "echo '", 'echo "', "echo `", "echo $(", "cat <<E", "{", "esac", "echo ${", "echo \\",
)  # fmt: skip
# Canaries in what is only data, as long as nothing around it is changed.
_DATA = (
    "echo 'canary'", 'echo "canary; canary2"', "echo \\; canary", "cat <<'E'\n$(canary)\nE",
    "cat <<'E'\n`canary`\ncanary2\nE", "cat <<E\ncanary\n\\$(canary2)\nE", "# canary", "echo a # ; canary",
    "echo '$(canary)'", 'echo "\\$(canary)"', "echo $'\\'; canary'", "echo a#'; canary '", "x='canary'", "x=canary",
    "cat <<\\E\ncanary\nE", "[[ a == '; canary' ]]", "[[ a =~ (canary|b) ]] || true", "case a in canary) ;; esac",
    "case a in 'canary;') ;; *) echo canary;; esac", "echo ${none:+'canary'}", "echo ${none:-canary}",
    'printf \'%s\n\' \'canary\' "canary2"', "git log --grep 'canary; canary2'", "sed -n '/canary/p' f",
    "awk '/canary/ {print $1}' f", "ls canary", "for i in canary; do echo $i; done", "grep -c 'canary' <<< 'canary'",
    "cat <<-'E' | grep canary\n\tcanary\n\tE", "echo {canary,b}", 'echo "it\'s" \'canary\'', 'echo "a \'canary\' b"',
    'echo \'a "canary" b\'', "a=(canary 'b; canary')", "echo $((1 + 2)) canary", "test canary = x",
    'echo "${none:-canary}"', 'echo "$(echo canary)"', "echo $(echo 'canary)')", 'echo "$(echo "canary")"',
    "echo `echo canary`", "cat <(echo canary)", "echo a > canary", "echo canary | cat", "command -v canary",
    "type canary", "find . -name canary", "ls | grep canary", "echo a &&\necho canary", "echo \\\ncanary",
    "echo 'a\ncanary\nb'", "cat <<E | cat\ncanary\nE", "read canary < f", "echo $none canary", "export canary=1",
    "declare -a canary", "{ echo canary; }", "(echo canary)", "if test canary; then echo canary; fi",
    "f3() { echo canary; }; f3", "time echo canary", "! echo canary", "env echo canary", "timeout 5 echo canary",
    "bash -c 'echo canary'", 'sh -c "echo \'canary\'"', "xargs echo canary < f",
    "find . -maxdepth 0 -exec echo canary {} \\;", "nice -n 5 echo canary", "eval 'echo canary'",
    "bash <<'E'\necho canary\nE", "let canary=1",
)  # fmt: skip
_BODIES = (
    "$({x})", "`{x}`", "{x}", "\\$({x})", "'$({x})'", "${{none:-$({x})}}", "E\\\n{x}", " E", "a\n",
)  # fmt: skip
_HEADS = (
    "cat <<{d}", "cat <<{d} | cat", "cat <<{d} >o", ": <<{d}", "cat <<{d}; {x}", "<<{d} cat", "{x} <<{d}",
    "(cat <<{d})", "echo $(cat <<{d}", "{{ cat <<{d}", "cat 0<<{d}", "cat 3<<{d}", "cat <<{d} 'a\nb'",
)  # fmt: skip
_SEPARATORS = (
    "; ", " && ", " || ", "\n", " & ", " | ", ";", "&&", " |& ", "\n\n# c\n", " ;\n", "\\\n&& ", "&", "|", " && \n",
    " # c\n", "\t;\t", ";;", "\n; ", " &\n", " \\\n; ",
)  # fmt: skip
_CHARACTERS = "'\"\\`$(){}[]#;&|<>!\n\t =*?~%@:-+,0a"
_SNIPPETS = (
    "$(", "<(", ">(", "${", "$((", "))", "((", "<<E\n", "\nE\n", "<<'E'\n", "\\\n", "$'", '$"', "#", " #", "[[ ",
    " ]]", "`", "esac", ";;", "fi;", "do ", "done", "then ", "if ", "while ", "case x in ", "{ ", "; }", "() ",
    "function ", "time ", "! ", "coproc ", "in ", "|&", "&>", ">|", "<>", "<<<", ">&", "&&", "||", "=(", "[0]=", "+=",
    "@(", "!(", "$[", "\\'", '\\"', "''", '""', "-",
)  # fmt: skip


class Texts:
    """Makes texts from a seed."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def text(self) -> str:
        """One text; two in five are changed by a few characters afterwards."""
        if self.random.random() < 0.5:
            made = self.script(self.random.choice((1, 1, 2, 2, 3)))
        else:
            made = self.joined(self.random.choices((*_DATA, *_DATA, *_NOISE), k=self.random.choice((1, 2, 3))))
        if self.random.random() < 0.4:
            made = self.changed(made)
        return made

    def script(self, depth: int) -> str:
        """Commands and harmless ones, joined."""
        parts = [self.command(depth)]
        for _ in range(self.random.choice((0, 0, 1, 1, 2, 3))):
            parts.insert(self.random.randrange(len(parts) + 1), self.noise())
        return self.joined(parts)

    def joined(self, parts: list[str]) -> str:
        """Commands with separators between them."""
        text = parts[0]
        for part in parts[1:]:
            # A here-document must be followed by its line's end to mean anything.
            text += ("\n" if "<<" in text and self.random.random() < 0.9 else self.random.choice(_SEPARATORS)) + part
        return text

    def noise(self) -> str:
        """A harmless command, mostly one that is hard to read."""
        return self.random.choice(_BROKEN if self.random.random() < 0.05 else _NOISE)

    def command(self, depth: int) -> str:
        """A command that may run a canary."""
        makers: list[Callable[[int], str]] = [
            self.simple,
            self.prefixed,
            self.around,
            self.in_text,
            self.document,
        ]
        if depth <= 0:
            return self.simple(0)
        return self.random.choice(makers)(depth)

    def simple(self, _: int) -> str:
        """A canary with arguments."""
        name = self.random.choice(CANARIES)
        spelled = self.random.choice(_SPELLINGS).format(c=name, h=name[:3], t=name[3:], u=name[1:], v=name[4:])
        words = [spelled, *(self.random.choice(_ARGUMENTS) for _ in range(self.random.choice((0, 1, 1, 2))))]
        return " ".join(word for word in words if word)

    def prefixed(self, depth: int) -> str:
        """A wrapper in front of a command."""
        return f"{self.random.choice(_PREFIXES)} {self.command(depth - 1)}"

    def around(self, depth: int) -> str:
        """A command in a substitution or a compound command."""
        return self.random.choice(_AROUND).format(x=self.command(depth - 1))

    def in_text(self, depth: int) -> str:
        """A command in a text that something runs."""
        inner = self.command(depth - 1)
        quoted = "'" + inner.replace("'", "'\\''") + "'"
        double = inner.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
        return self.random.choice(_TEXTS).format(x=inner, q=quoted, r=inner.replace("'", ""), d=double)

    def document(self, depth: int) -> str:
        """A here-document with a command in it, behind it, or in its line."""
        inner = self.command(depth - 1)
        delimiter = self.random.choice(("E", "'E'", '"E"', "\\E", "E", "-E", "EOF", "-'E'", "E''"))
        end = delimiter.lstrip("-").strip("'\"\\").replace("''", "")
        body = self.random.choice(_BODIES)
        head = self.random.choice(_HEADS)
        after = ")" if head.startswith("echo $(") else "}" if head.startswith("{") else ""
        tail = self.random.choice(("", inner, ""))
        first = head.format(d=delimiter, x=inner)
        return f"{first}\n{body.format(x=inner)}\n{end}\n{after}\n{tail}".replace("\n\n", "\n")

    def changed(self, text: str) -> str:
        """The text with one to three small changes."""
        for _ in range(self.random.choice((1, 1, 2, 3))):
            at = self.random.randrange(len(text) + 1)
            match self.random.randrange(6):
                case 0 | 1:
                    text = text[:at] + self.random.choice(_CHARACTERS) + text[at:]
                case 2:
                    text = text[:at] + self.random.choice(_SNIPPETS) + text[at:]
                case 3:
                    text = text[:at] + text[at + 1 :]
                case 4:
                    text = text[:at] + self.random.choice(_CHARACTERS) + text[at + 1 :]
                case _:
                    stop = min(len(text), at + self.random.randrange(1, 12))
                    to = self.random.randrange(len(text) + 1)
                    text = text[:to] + text[at:stop] + text[to:]
        return text
