"""Environment: the variables that a confined command gets, and where its tools may keep caches."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from letta_code.safety.containment import Grant

if TYPE_CHECKING:
    from letta_code.safety.sandboxes.own_folder import OwnFolder

_NAMES = {
    *("PATH", "HOME", "LANG", "LANGUAGE", "TERM", "USER", "LOGNAME", "SHELL", "TZ", "HOSTNAME", "PWD", "COLUMNS"),
    *("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONUTF8"),
    *("PYTHONIOENCODING", "GOPATH", "GOROOT", "GOBIN", "GOFLAGS", "GOPRIVATE", "CARGO_HOME", "RUSTUP_HOME"),
    *("RUSTUP_TOOLCHAIN", "JAVA_HOME", "ANDROID_HOME", "ANDROID_SDK_ROOT", "GRADLE_HOME", "MAVEN_HOME", "M2_HOME"),
    *("DOTNET_ROOT", "GEM_HOME", "GEM_PATH", "BUN_INSTALL", "DENO_DIR", "DENO_INSTALL", "PNPM_HOME", "VOLTA_HOME"),
    *("FNM_DIR", "N_PREFIX", "SDKMAN_DIR", "GHCUP_INSTALL_BASE_PREFIX", "OPAM_SWITCH_PREFIX", "CI", "MAKEFLAGS"),
    *("CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "PKG_CONFIG_PATH", "CMAKE_PREFIX_PATH", "NIX_PATH"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE"),
    *("NIX_SSL_CERT_FILE", "NO_COLOR", "PAGER", "MANPAGER", "EDITOR", "DEBIAN_FRONTEND", "PIP_NO_INPUT", "NODE_ENV"),
    *("NODE_VERSION", "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "UV_PYTHON"),
    *("UV_CACHE_DIR", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"),
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"),
}  # fmt: skip
_FOR_THE_NETWORK = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
_BEGINNINGS = ("LC_", "NVM_", "PYENV_", "CONDA_", "MAMBA_", "RBENV_", "ASDF_", "MISE_", "JENV_", "NODENV_", "GOENV_")
_SECRET = re.compile(
    r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|COOKIE|_PAT|_PWD|AUTH)$", re.IGNORECASE
)
_MOST = 32_768  # characters of a value


def allowed(inherited: Mapping[str, str], *, network_open: bool = False, logins: bool = False) -> dict[str, str]:
    """The person's environment as far as tools need it and nothing in it is secret or runs something.

    LD_*, GIT_* (but who the author is), BASH_ENV, PYTHONSTARTUP, NODE_OPTIONS and everything unknown is left out.
    """
    env = {
        name: value
        for name, value in inherited.items()
        if (name in _NAMES or name.startswith(_BEGINNINGS)) and not _SECRET.search(name) and len(value) <= _MOST
    }
    if network_open:
        env.update({name: value for name, value in inherited.items() if name.upper() in _FOR_THE_NETWORK})
    if logins and "SSH_AUTH_SOCK" in inherited:
        env["SSH_AUTH_SOCK"] = inherited["SSH_AUTH_SOCK"]
    return env


def confined(env: Mapping[str, str], own: OwnFolder, home: str, grant: Grant) -> dict[str, str]:
    """The variables of one command in any sandbox: where its caches and temporary files go, and what holds for git."""
    more: Mapping[str, str] = {}
    if grant.git:
        more = for_git(env, hooks=grant.hooks)
    elif grant.network != "off":  # a push needs the network alone, and would run hooks that nobody said yes to
        more = _with_settings(env, {"core.hooksPath": os.devnull})
    return {**caches(own.caches, home, env), **env, "TMPDIR": own.temp, **more}


def caches(folder: str, home: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """Where tools keep what they download and compile: a folder of the project's own, since the person's is read-only.

    Tools that only read there (models, browsers, crates) still find the person's.
    """
    modules = os.path.join(inherited.get("GOPATH", "").split(":")[0] or f"{home}/go", "pkg/mod/cache/download")
    env = {
        "PIP_CACHE_DIR": f"{folder}/pip",
        "UV_CACHE_DIR": f"{folder}/uv",
        "npm_config_cache": f"{folder}/npm",
        "YARN_CACHE_FOLDER": f"{folder}/yarn",
        "YARN_GLOBAL_FOLDER": f"{folder}/yarn-berry",
        "GOCACHE": f"{folder}/go-build",
        "GOMODCACHE": f"{folder}/go-mod",
        "GOTELEMETRY": "off",
        "CCACHE_DIR": f"{folder}/ccache",
        "PRE_COMMIT_HOME": f"{folder}/pre-commit",
        "MPLCONFIGDIR": f"{folder}/matplotlib",
        "NUMBA_CACHE_DIR": f"{folder}/numba",
        "XDG_STATE_HOME": f"{folder}/state",
        "npm_config_update_notifier": "false",
    }
    if os.path.isdir(modules):
        env["GOPROXY"] = f"file://{modules},https://proxy.golang.org,direct"
    return env


def for_git(env: Mapping[str, str], *, hooks: bool) -> dict[str, str]:
    """Variables for git where it may write the repository, besides those already set that way.

    A new branch follows no other one, as with `--no-track`: that would be written to the configuration, which stays as
    it is.  Without `hooks` git runs none of the repository's own.  A repository below the one that is opened may name a
    watcher, and a folder may look like a bare repository: neither is heeded.
    """
    settings = {
        "branch.autoSetupMerge": "false",
        "core.fsmonitor": "false",
        "safe.bareRepository": "explicit",
        **({} if hooks else {"core.hooksPath": os.devnull}),
    }
    return _with_settings(env, settings)


def _with_settings(env: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    count = int(env.get("GIT_CONFIG_COUNT", "") or 0) if env.get("GIT_CONFIG_COUNT", "").isdigit() else 0
    found = {"GIT_CONFIG_COUNT": str(count + len(settings))}
    for at, (key, value) in enumerate(settings.items(), count):
        found |= {f"GIT_CONFIG_KEY_{at}": key, f"GIT_CONFIG_VALUE_{at}": value}
    return found
