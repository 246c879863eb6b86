"""Catastrophes that are written in a roundabout way are refused; everyday removals that look like them are not."""

from __future__ import annotations

import pytest

from letta_code.safety.operations import ExecOperation
from letta_code.safety.policy import Policy
from letta_code.safety.rules import Rules
from tests.safety.test_everyday import commands

HOME = "/home/me"


def verdict(text: str, cwd: str = "/w/app") -> str:
    policy = Policy("full", Rules(), root="/w/app", home=HOME, variables={"TMPDIR": "/tmp/t", "BUILD": "/w/app/b"})
    return policy.decide("Bash", ExecOperation(command=text, cwd=cwd)).verdict


@pytest.mark.parametrize(
    "text",
    [
        "rm -rf /?*", "rm -rf /**", "rm -rf /[a-z]*", "rm -rf /b*", "rm -rf /*/", "rm -rf /home/m*", "rm -rf ~/.[!.]*",
        "rm -rf ~root", "rm -rf ~root/*", 'rm -rf "${HOME:?}"/*', 'rm -rf "${HOME:?not set}"', "rm -rf ${HOME%/}",
        "rm -rf ${HOME%/*}", "rm -rf ${UNSET:-/}", "rm -rf ${UNSET-/}", "rm -rf ${UNSET:=/}", "rm -rf ${UNSET:-}/",
        "rm -rf ${HOME:-/tmp}",
        'd=/; rm -rf "$d"', "d=; rm -rf $d/*", 'd=""; rm -rf "$d"/*', 'd=$HOME; rm -rf "$d"', "export d=/; rm -rf $d",
        'for d in /; do rm -rf "$d"*; done', 'for d in build /*; do rm -rf "$d"; done', 'd=/; rm -rf "${d%/}"/*',
        "cd && rm -rf *", "cd; rm -rf .", "cd ~ && rm -rf *", "cd ~ || exit; rm -rf ./*", 'cd "$HOME"; rm -rf .',
        "pushd ~; rm -rf *", "cd; cd ..; rm -rf *", "rm --recurs -f /", "rm --rec /",
        "find -L / -delete", "find -H -O3 ~ -delete", "cd / && find -delete", "cd && find . -delete",
        "echo / | xargs rm -rf", "printf '/\\n' | xargs -I{} rm -rf {}", "find / -print0 | xargs -0 rm -rf",
        "find ~ -type f | xargs rm -rf", "mv /* /tmp", "mv ~ /dev/null", "mv ~/* /dev/null",
        "cd $UNSET; rm -rf *", 'cd "$UNSET"/ && rm -rf -- *', "rm -rf {~,/x}", "rm -rf {/,}", "rm -rf ~{,/x}",
        'rm -rf $"$HOME"', "git -C ~ clean -ffdx", "cd ~ && git clean -ffdx", "git -C / -C home/me clean -fd",
        "tar --remove-files -cf x ~", "tar cf x.tar --remove ~", "mv -t /tmp/x ~/*", "mv --target-directory=/tmp/x /*",
        "find ~ -mindepth 1 -maxdepth 1 | xargs rm -rf", "ls -d ~/* | xargs rm -rf", "cd; ls | xargs rm -rf",
        r"find ~ -type f -exec shred -u {} \;", r"find / -exec /bin/unlink {} \;", "rm -rf ${HOME:+$HOME}",
        'set -- ~; rm -rf "$@"', 'f(){ rm -rf "$@"; }; f ~', 'f () { rm -rf $1/*; }; f build; f /',
        'A=(~); rm -rf "${A[@]}"', 'declare -a A=(build ~/*); rm -rf "${A[@]}"', "read -r A <<< $HOME; rm -rf $A",
        'D=${D:-$HOME}; rm -rf "$D"', 'A=~ B=$A; rm -rf "$B"', "B=$UNSET/x; rm -rf $B",
        "rsync -a --delete /tmp/empty/ ~/", "rsync -a --del empty/ /", "cp /dev/zero /dev/sda", "chgrp -R x /",
    ],
)  # fmt: skip
def test_roundabout_catastrophes_are_refused(text: str) -> None:
    assert verdict(text) == "deny"


@pytest.mark.parametrize(
    "text",
    [
        "rm -rf build/*", 'rm -rf "$TMPDIR/x"', 'rm -rf "$TMPDIR"/*', "cd sub && rm -rf ./*", "cd ~/app && rm -rf *",
        "cd; cd app; rm -rf build", "rm -rf *.log", "rm -rf ~/*.log", "rm -rf ~/[0-9]*.tmp", "rm -rf /tmp/*",
        "rm -rf *", "rm -rf ~/.cache/app", "rm -rf ~me2/x", 'rm -rf "${BUILD:?}"/*', 'rm -rf "${UNSET:?}"/*',
        "rm -rf ${BUILD%/}/*", "rm -rf /" + "[" * 600,
        "rm -rf ${UNSET:-build}/*", 'd=$(mktemp -d); rm -rf "$d"/*', "d=out; rm -rf $d/*", 'd=""; d=out; rm -rf "$d"/*',
        'd=; read d; rm -rf "$d"/*', 'for d in a b; do rm -rf "$d"/*; done', 'for d in */; do rm -rf "$d"; done',
        'while read d; do rm -rf "$d"/*; done < list', 'root=/; rm -rf "$root/tmp/x"', "find . -delete",
        "cd build && find -delete", "echo build | xargs rm -rf", "find . -print0 | xargs -0 rm -rf",
        "find ~ -name node_modules -print0 | xargs -0 rm -rf", "ls | grep x | xargs rm -rf", "mv * sub/", "mv ~/a ~/b",
        "mv x /tmp", "mv x ~", "rsync -a --delete build/ /mnt/site/", "rsync -a --delete ~/ /mnt/backup/",
        "rsync -an --delete x/ ~/", "rsync -a x ~/", "cp /dev/sda disk.img", "cp a b", "chgrp -R x src",
        "(cd; ls); rm -rf *", "git clean -fdx", "git -C sub clean -fd", "cd ~ && git clean -n",
        "git -C ~ clean -fd app/out",
        'set -- build; rm -rf "$@"', 'f(){ rm -rf "$1"/*; }; ls ~; f build', 'A=(a b); rm -rf "${A[@]}"',
        'rm -rf "$1"/*',
        "rm -rf build/{a,b}", "tar czf x.tgz --remove-files build/logs", "mv -t /tmp/x a b", "ls | xargs rm -rf",
        "find build -maxdepth 1 | xargs rm -rf", 'D=${D:-build}; rm -rf "$D"', "B=$BUILD/x; rm -rf $B",
        "cd $BUILD; rm -rf *", 'D=$(mktemp -d); cd $D; rm -rf *', "ls -d build/* | xargs rm -rf",
    ],
)  # fmt: skip
def test_everyday_removals_are_not_refused(text: str) -> None:
    assert verdict(text) == "allow"


def test_no_everyday_command_is_refused() -> None:
    assert [text for text in commands() if verdict(text) == "deny"] == []
