"""Settings: layers, mistakes that cost one value, and what a project's file may not say."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path

import pytest

from letta_code.config.paths import Paths, project_config
from letta_code.config.settings import Loaded, Settings, field_rule, load, save_setting
from letta_code.core.errors import ConfigError, UsageError


@pytest.fixture
def paths(letta_home: Path) -> Paths:
    return Paths.find().ensure()


def loaded(paths: Paths, text: str | bytes, **env: str) -> Loaded:
    paths.config.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(paths.home.parent, env=env, paths=paths)


def texts(found: Loaded) -> str:
    return "\n".join(notice.text for notice in found.notices)


def test_without_any_file_the_defaults_hold_and_yaml_is_not_needed(paths: Paths) -> None:
    assert load(paths.home, env={}, paths=paths) == Loaded(settings=Settings())


def test_environment_beats_file_and_flags_beat_environment(paths: Paths) -> None:
    found = loaded(
        paths, "model: a/file\nmax_turns: 3\nface: {theme: nord}\n", LETTA_MODEL="b/env", LETTA_FACE_BELL="false"
    )
    assert (found.settings.model, found.settings.max_turns) == ("b/env", 3)
    assert (found.settings.face.theme, found.settings.face.bell) == ("nord", False)
    flags = load(paths.home, env={"LETTA_MODEL": "b/env"}, paths=paths, flags={"model": "c/flag", "max_turns": None})
    assert (flags.settings.model, flags.settings.max_turns) == ("c/flag", 3)


def test_rules_of_the_command_line_are_added(paths: Paths) -> None:
    paths.config.write_text("allow: ['Bash(ls)']\n")
    found = load(paths.home, env={}, paths=paths, flags={"allow": ("Bash(npm test)",)})
    assert found.settings.allow == ("Bash(ls)", "Bash(npm test)")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("model: x\nmax_turns: many\n", 2, "max_turns expected int, got str"),
        ("model: x\nmax_turns: -1\n", 2, "max_turns"),
        ("model: x\nmax_turns:\n", 2, "max_turns has no value"),
        ("model: x\nmoddel: y\n", 2, "did you mean `model`?"),
        ("model: x\nmode: wild\n", 2, "mode is none of plan, ask, auto, full"),
        (
            "model: x\nsandbox: bogus\n",
            2,
            "sandbox is none of auto, bubblewrap, landlock, seatbelt, off; it is not used",
        ),
        ("model: x\nmode: full\n", 2, "`full` holds for one start only"),
        ("model: x\ntime_limit: .inf\n", 2, "finite"),
        ("model: x\ntime_limit: .nan\n", 2, "time_limit"),
        ("model: x\nface:\n  theme: 3\n", 3, "face.theme"),
        ("model: x\nface: dark\n", 2, "face should be"),
        ("model: x\nendpoints:\n  mine: here\n", 3, "endpoints.mine should be"),
        ("model: x\nendpoints:\n  mine: {dialect: french}\n", 3, "endpoints.mine.dialect is none of"),
    ],
)
def test_one_wrong_value_costs_that_value_and_is_named_with_its_line(
    paths: Paths, text: str, line: int, words: str
) -> None:
    found = loaded(paths, text)
    assert found.settings.model == "x"
    assert len(found.notices) == 1
    assert words in texts(found) and f"{paths.config}:{line}:" in texts(found)
    assert (found.settings.mode, found.settings.max_turns, found.settings.time_limit) == ("ask", 0, 0.0)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"model: [\n", ":2: the file is not valid YAML"),
        (b"a: b\nc: \xff\n", ":2: the file is not UTF-8 text"),
        (b"- a\n- b\n", ":1: the file should be a list of `name: value` lines, and is a list"),
        (b"just words\n", "is a single value"),
        (b"model: !!python/object/apply:os.system ['touch /tmp/never']\n", "not valid YAML"),
        (b"model: " + b"[" * 20_000, "nested too deep"),
        (b"model: 2024-99-99\n", "cannot be read"),
        (b"a: &a [*a]\n? *a\n: 1\n", "config.yaml"),
        (b"x" * 300_000, "larger than 256 KB"),
        (b"model: \x00\n", "not valid YAML"),
    ],
)
def test_a_broken_file_is_named_and_kept_and_the_start_goes_on(paths: Paths, raw: bytes, words: str) -> None:
    found = loaded(paths, raw)
    assert found.settings == Settings()
    assert words in texts(found)
    assert paths.config.read_bytes() == raw


def test_a_file_that_is_no_file_never_hangs(paths: Paths) -> None:
    os.mkfifo(paths.config)
    assert "is not a regular file" in texts(load(paths.home, env={}, paths=paths))
    paths.config.unlink()
    paths.config.mkdir()
    assert "is not a regular file" in texts(load(paths.home, env={}, paths=paths))


ODD = [b"{", b"[", b"&a ", b"*a", b"\t", b"null", b"!!set ", b"? ", b"\x00", b'"']


def test_any_mutation_of_the_file_is_survived(paths: Paths) -> None:
    good = b"model: a/x\nmax_turns: 3\nendpoints:\n  lan: {base_url: 'http://h', window: 80}\nallow: ['Bash(ls)']\n"
    chance = random.Random(7)
    for _ in range(1500):
        raw = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(raw))
            match chance.randrange(3):
                case 0:
                    raw[place] = chance.randrange(256)
                case 1:
                    del raw[place : place + chance.randint(1, 20)]
                    raw += b"\n"
                case _:
                    raw[place:place] = chance.choice(ODD)
        assert isinstance(loaded(paths, bytes(raw)).settings, Settings)


def test_an_environment_value_that_is_wrong_is_named(paths: Paths) -> None:
    found = load(paths.home, env={"LETTA_MODE": "wild", "LETTA_MAX_TURNS": "x", "LETTA_API_KEY": "other"}, paths=paths)
    assert found.settings == Settings()
    assert "LETTA_MODE is none of" in texts(found) and "LETTA_MAX_TURNS expected int" in texts(found)
    assert len(found.notices) == 2


def test_a_wrong_flag_is_an_error(paths: Paths) -> None:
    with pytest.raises(UsageError):
        load(paths.home, env={}, paths=paths, flags={"mode": "wild"})


# ---------------------------------------------------------------- the project's file


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    (folder / ".letta").mkdir()
    (folder / "src").mkdir()
    return folder


def in_project(paths: Paths, project: Path, text: str, *, trusted: bool = False) -> Loaded:
    (project / ".letta" / "config.yaml").write_text(text)
    return load(project / "src", env={}, paths=paths, trusted=trusted)


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize(
    "line",
    [
        "mode: full",
        "mode: auto",
        "allow: ['*']",
        "model: evil/x",
        "agent: other",
        "endpoints: {openai: {base_url: 'http://evil'}}",
    ],
)
def test_a_project_never_sets_endpoint_mode_or_allow(paths: Paths, project: Path, line: str, trusted: bool) -> None:
    found = in_project(paths, project, line + "\n", trusted=trusted)
    assert found.settings == Settings()
    assert f"{line.partition(':')[0]} is never taken from a project's file; it is ignored." in texts(found)
    assert f"{project}/.letta/config.yaml:1:" in texts(found)


def test_a_project_may_tighten(paths: Paths, project: Path) -> None:
    paths.config.write_text("max_turns: 10\ndeny: ['Bash(rm)']\n")
    found = in_project(paths, project, "max_turns: 4\ntime_limit: 60\ndeny: ['Bash(curl)']\nask: ['Edit']\n")
    assert found.notices == ()
    settings = found.settings
    assert (settings.max_turns, settings.time_limit) == (4, 60.0)
    assert (settings.deny, settings.ask) == (("Bash(rm)", "Bash(curl)"), ("Edit",))


@pytest.mark.parametrize("value", ["20", "0"])
def test_a_project_does_not_loosen_a_limit(paths: Paths, project: Path, value: str) -> None:
    paths.config.write_text("max_turns: 10\n")
    found = in_project(paths, project, f"max_turns: {value}\n")
    assert found.settings.max_turns == 10
    assert "max_turns may only be lowered here; 10 stays" in texts(found)


def test_harmless_settings_of_a_project_wait_for_trust(paths: Paths, project: Path) -> None:
    text = "face: {theme: nord}\n"
    assert in_project(paths, project, text).settings == Settings()
    assert "once the folder is trusted" in texts(in_project(paths, project, text))
    assert in_project(paths, project, text, trusted=True).settings.face.theme == "nord"


def test_a_projects_env_file_is_not_read(paths: Paths, project: Path) -> None:
    (project / ".env").write_text("LETTA_HOME=/evil\nLETTA_MODE=full\n")
    assert load(project, env={}, paths=paths) == Loaded(settings=Settings())


def test_the_persons_home_is_never_a_project(paths: Paths, project: Path) -> None:
    paths.config.write_text("mode: auto\n")
    assert project_config(paths.home.parent, paths) is None
    assert load(paths.home.parent, env={}, paths=paths).settings.mode == "auto"


def test_a_file_above_the_work_tree_is_not_the_projects(paths: Paths, project: Path) -> None:
    (project.parent / ".letta").mkdir()
    (project.parent / ".letta" / "config.yaml").write_text("max_turns: 1\n")
    assert project_config(project / "src", paths) is None


def test_every_field_says_who_may_set_it() -> None:
    rules = {name: field_rule(name) for name in Settings.__struct_fields__}
    assert set(rules.values()) == {"never", "tighten", "any"}
    assert [name for name, rule in rules.items() if rule == "never"] == [
        "model",
        "agent",
        "mode",
        "endpoints",
        "allow",
        "sandbox",
        "reflection",
        "checkpoints",
        "on_hangup",
    ]


# ---------------------------------------------------------------- saving and places


def test_saving_a_line_keeps_comments_and_unknown_keys(paths: Paths) -> None:
    paths.config.write_text("# mine\nmodel: a/b  # old\nfuture: {x: 1}\n")
    assert save_setting(paths, "model", "c/d") == []
    assert paths.config.read_text() == '# mine\nmodel: "c/d"\nfuture: {x: 1}\n'
    assert stat.S_IMODE(paths.config.stat().st_mode) == 0o600


def test_saving_a_nested_value_keeps_the_rest_and_a_copy_with_the_comments(paths: Paths) -> None:
    paths.config.write_text("# mine\nmodel: a/b\nfuture: {x: 1}\n")
    save_setting(paths, ("endpoints", "my.lan"), {"base_url": "http://h"})
    found = load(paths.home, env={}, paths=paths).settings
    assert found.endpoints["my.lan"].base_url == "http://h" and found.model == "a/b"
    assert "future" in paths.config.read_text()
    assert paths.config.with_name("config.yaml.bak").read_text().startswith("# mine\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# mine\nmodel: a/b\n", "# mine\nmodel: a/b\nface:\n  bell: false\n"),
        ("face:  # how it looks\n    # loud\n    bell: true  # off\n    mouse: false\n# end\nmodel: a/b\n",
         "face:  # how it looks\n    # loud\n    bell: false\n    mouse: false\n# end\nmodel: a/b\n"),
        ("model: a/b\nface:\n  # c\n  mouse: false\n", "model: a/b\nface:\n  bell: false\n  # c\n  mouse: false\n"),
    ],
)  # fmt: skip
def test_saving_a_line_below_another_keeps_comments(paths: Paths, before: str, after: str) -> None:
    paths.config.write_text(before)
    assert save_setting(paths, ("face", "bell"), False) == []
    assert paths.config.read_text() == after
    assert not paths.config.with_name("config.yaml.bak").exists()


@pytest.mark.parametrize(
    "before", ["# mine\nface: {mouse: false}\n", "# mine\nface: 3\n", "# mine\nface:\n  bell: |\n    x\n    y\n"]
)
def test_where_a_line_cannot_be_set_the_file_is_written_anew_beside_a_copy(paths: Paths, before: str) -> None:
    paths.config.write_text(before)
    for _ in range(2):
        save_setting(paths, ("face", "bell"), False)
    assert load(paths.home, env={}, paths=paths).settings.face.bell is False
    assert paths.config.with_name("config.yaml.bak").read_text() == before  # the copy with the comments stays


def test_saving_none_removes(paths: Paths) -> None:
    paths.config.write_text("model: a/b\nmax_turns: 2\n")
    save_setting(paths, "model", None)
    assert load(paths.home, env={}, paths=paths).settings == Settings(max_turns=2)


def test_saving_over_a_broken_file_keeps_it_aside_and_names_it(paths: Paths) -> None:
    paths.config.write_bytes(b"model: [\n")
    (notice,) = save_setting(paths, "model", "a/b")
    (aside,) = paths.home.glob("config.yaml.corrupt-*")
    assert aside.read_bytes() == b"model: [\n" and str(aside) in notice.text
    assert load(paths.home, env={}, paths=paths).settings.model == "a/b"


def test_saving_makes_the_home_private(letta_home: Path) -> None:
    save_setting(Paths.find(), "model", "a/b")
    assert stat.S_IMODE(letta_home.stat().st_mode) == 0o700


def test_a_home_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        Paths(home=tmp_path / "file" / "deeper").ensure()
    with pytest.raises(ConfigError, match="is a file"):
        Paths(home=tmp_path / "file").ensure()


def test_other_programs_files_in_the_home_are_left_alone(letta_home: Path) -> None:
    letta_home.mkdir(mode=0o755)
    other = letta_home / "settings.json"
    other.write_text('{"lastAgent": 1}')
    other.chmod(0o644)
    paths = Paths.find().ensure()
    paths.folder(paths.logs)
    save_setting(paths, "model", "a/b")
    assert other.read_text() == '{"lastAgent": 1}' and stat.S_IMODE(other.stat().st_mode) == 0o644
    assert sorted(entry.name for entry in letta_home.iterdir()) == ["config.yaml", "logs", "settings.json"]


def test_home_is_moved_by_its_variable() -> None:
    assert Paths.find({"LETTA_HOME": "/x/y"}).database == Path("/x/y/letta.db")
    assert Paths.find({}).home == Path("~/.letta").expanduser()


def test_a_link_to_what_is_no_settings_file_goes_aside_and_leaves_that_as_it_is(paths: Paths) -> None:
    other = paths.home / "letter.txt"
    other.write_text("[ a letter")
    paths.config.symlink_to(other)
    (notice,) = save_setting(paths, "model", "a/b")
    assert other.read_text() == "[ a letter"
    assert load(paths.home, env={}, paths=paths).settings.model == "a/b"
    (aside,) = paths.home.glob("config.yaml.corrupt-*")
    assert aside.name in notice.text
