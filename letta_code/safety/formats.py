"""Formats: how keys, tokens and passwords look, and the literal marks without which no text can hold one."""

from __future__ import annotations

from typing import NamedTuple


class Format(NamedTuple):
    """One kind of secret.

    `kind` stands in a placeholder, `name` in a sentence.  A text that holds none of `marks` holds no such secret;
    `pattern` is matched where a mark begins, and its group `v`, or all of it, is the secret.  `folded` marks are
    looked for in the lower-cased text; the others stand within a long run of letters and digits.
    """

    kind: str
    name: str
    marks: tuple[str, ...]
    pattern: str
    folded: bool = False


_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"  # in JSON an escape such as \n may stand before it
_END = r"(?![A-Za-z0-9])"
_HEX = "[0-9a-f]"

# What is assigned to a name that tells it to be secret.  Paths, calls and words with separators (`v2-deps-linux`) are
# no keys, and a lower-case name, as it stands in any code, needs a value that nobody would write by hand.
_MIXED = r"(?=[^\s\"'\\]*[0-9])(?=[^\s\"'\\]*[A-Za-z])"
_GIVEN = r"\\?[\"']?[ \t]*(?:[:=]|:=|=>)[ \t]*\\?[\"']?"
_NO_PATH = r"(?![~./$%]|https?:)"
_NO_CALL = r"(?![(\[])"
_VALUE = r"[^\s\"'`<>${}()\[\],;\\]"
_WORD = r"(?:[A-Za-z]+[0-9]{0,4}|[0-9]{1,4})"
_OVER = r"(?=[\s\"'`<>${}()\[\],;\\]|$)"
_ATTRIBUTE = r"(?![A-Za-z_]\w*(?:(?:\.|::|->)[A-Za-z_]\w*)+" + _OVER + ")"
# An item of something (`basic[1]`), or a name of several words (`s3_secret_key,`).
_NO_NAME = r"(?!\[|[A-Za-z_]\w*\[|[a-z0-9]+(?:_[a-z0-9]+)+[,;:)]?(?:\s|$))"
_TYPE = r"(?!(?:u?int|float|f|i|u)[0-9]{1,3}\b)"


def _token(kind: str, name: str, marks: str, rest: str, *, end: str = _END) -> Format:
    """A token that begins with one of the marks (divided by blanks)."""
    return Format(kind, name, tuple(marks.split()), rf"{_START}(?:{'|'.join(map(_quoted, marks.split()))}){rest}{end}")


def _quoted(mark: str) -> str:
    return mark.replace(".", r"\.")


# Marked so that nothing else looks like them.
_TOKENS = (
    _token("aws-key", "an AWS key", "AKIA ASIA ABIA ACCA", "[A-Z0-9]{16}"),
    _token("github-token", "a GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", "[A-Za-z0-9]{30,}"),
    _token("github-token", "a GitHub token", "github_pat_", "[A-Za-z0-9_]{40,}"),
    Format(
        "gitlab-token",
        "a GitLab token",
        ("glpat-", "glptt-", "gldt-", "glrt-", "glcbt-", "glft-", "glsoat-", "glagent-", "gloas-"),
        rf"{_START}gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|oas)-[A-Za-z0-9_\-]{{20,}}(?:\.[a-z0-9.]+)?",
    ),
    _token(
        "slack-token", "a Slack token", "xoxa- xoxb- xoxe- xoxe. xoxo- xoxp- xoxr- xoxs- xapp-", r"[A-Za-z0-9.-]{10,}"
    ),
    Format(
        "slack-webhook",
        "a Slack webhook",
        ("hooks.slack.com/",),
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<v>[A-Za-z0-9/]{20,})",
    ),
    _token("google-key", "a Google key", "AIza", r"[A-Za-z0-9_\-]{30,}"),
    _token("google-token", "a Google token", "ya29. GOCSPX-", r"[A-Za-z0-9_\-.]{20,}"),
    _token("anthropic-key", "an Anthropic key", "sk-ant-", r"[A-Za-z0-9_\-]{20,}"),
    _token(
        "openai-key",
        "an OpenAI key",
        "sk-proj- sk-svcacct- sk-admin- sk-or- sess-",
        r"(?=[A-Za-z_\-]*[0-9])[A-Za-z0-9_\-]{20,}",
    ),
    _token("mailgun-key", "a Mailgun key", "key-", rf"{_HEX}{{32}}"),
    _token("stripe-key", "a Stripe key", "sk_live_ sk_test_ rk_live_ rk_test_ whsec_", r"[A-Za-z0-9+/=]{16,}"),
    _token(
        "api-key", "an API key", "sk_ pk_ rk_ gsk_ fw_ r8_ key_", "(?=[A-Za-z]*[0-9][A-Za-z]*[0-9])[A-Za-z0-9]{20,}"
    ),
    _token(
        "api-key",
        "an API key",
        "sk- pk- rk- xai- pplx- key-",
        r"(?=[A-Za-z0-9_\-]*[0-9][A-Za-z0-9_\-]*[0-9])(?![a-z]+(?:[_\-][a-z0-9]{1,8})*"
        + _END
        + r")[A-Za-z0-9_\-]{20,}",
    ),
    _token("hugging-face-token", "a Hugging Face token", "hf_ api_org_", "[A-Za-z0-9]{30,}"),
    _token("npm-token", "an npm token", "npm_", "[A-Za-z0-9]{30,}"),
    _token("pypi-token", "a PyPI token", "pypi-", r"[A-Za-z0-9_\-]{50,}"),
    Format("telegram-token", "a Telegram token", (":AA",), r"(?<=[0-9]{8}):(?P<v>AA[A-Za-z0-9_\-]{32,})"),
    _token("sendgrid-key", "a SendGrid key", "SG.", r"[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}"),
    _token("twilio-key", "a Twilio key", "SK", rf"{_HEX}{{32}}"),
    _token("digitalocean-token", "a DigitalOcean token", "dop_v1_ doo_v1_ dor_v1_", rf"{_HEX}{{40,}}"),
    _token("heroku-key", "a Heroku key", "HRKU-", r"[A-Za-z0-9_\-]{30,}"),
    Format(
        "azure-key",
        "an Azure key",
        ("accountkey", "accesskey", "accesssignature", "sig="),
        r"(?:(?:account|access)key(?:=|\\?\"\s*:\s*\\?\")|accesssignature=|sig=)(?P<v>[A-Za-z0-9+/%]{40,}={0,2})",
        folded=True,
    ),
    Format(
        "web-token",
        "a JSON web token",
        ("eyJ",),
        rf"{_START}eyJ[A-Za-z0-9_\-]{{10,}}\.(?:eyJ)?[A-Za-z0-9_\-]{{10,}}\.[A-Za-z0-9_\-]{{10,}}",
    ),
    _token("databricks-token", "a Databricks token", "dapi", rf"{_HEX}{{32}}(?:-\d)?"),
    _token("linear-key", "a Linear key", "lin_api_ lin_oauth_", "[A-Za-z0-9]{30,}"),
    Format(
        "discord-token",
        "a Discord token",
        (),
        r"(?<![A-Za-z0-9_\-])[MNO][DTjz][A-Za-z0-9_\-]{21,28}\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27,}",
    ),
    Format(
        "discord-webhook",
        "a Discord webhook",
        ("/api/webhooks/",),
        r"/api/webhooks/(?P<v>[0-9]{10,}/[A-Za-z0-9_\-]{40,})",
    ),
    _token("cloudflare-key", "a Cloudflare key", "v1.0-", rf"{_HEX}{{24}}-{_HEX}{{100,}}"),
    _token("shopify-token", "a Shopify token", "shpat_ shpca_ shppa_ shpss_", "[0-9a-fA-F]{32}"),
    _token("square-token", "a Square token", "sq0atp- sq0csp-", r"[A-Za-z0-9_\-]{20,}"),
    _token("notion-token", "a Notion token", "ntn_", "[A-Za-z0-9]{40,}"),
    _token("figma-token", "a Figma token", "figd_", r"[A-Za-z0-9_\-]{30,}"),
    _token("grafana-token", "a Grafana token", "glsa_ glc_", r"[A-Za-z0-9_+/=]{30,}"),
    _token("sentry-token", "a Sentry token", "sntrys_ sntryu_", r"[A-Za-z0-9_+/=]{30,}"),
    _token("vault-token", "a Vault token", "hvs. hvb.", r"[A-Za-z0-9_\-]{24,}"),
    _token("doppler-token", "a Doppler token", "dp.pt. dp.st. dp.sa.", r"[A-Za-z0-9_\-.]{30,}"),
    _token("postman-key", "a Postman key", "PMAK-", r"[0-9a-f]{24}-[0-9a-f]{34}"),
    _token("planetscale-token", "a PlanetScale token", "pscale_", r"(?:tkn|pw|oauth)_[A-Za-z0-9_\-.]{30,}"),
    _token("age-key", "an age key", "AGE-SECRET-KEY-1", "[A-Z0-9]{50,}"),
    _token("supabase-key", "a Supabase key", "sbp_ sb_secret_", r"[A-Za-z0-9_\-]{20,}"),
    _token("new-relic-key", "a New Relic key", "NRAK-", "[A-Z0-9]{27}"),
    _token("docker-token", "a Docker token", "dckr_pat_ dckr_oat_", r"[A-Za-z0-9_\-]{20,}"),
    _token("rubygems-key", "a RubyGems key", "rubygems_", rf"{_HEX}{{40,}}"),
    _token("atlassian-token", "an Atlassian token", "ATATT3 ATCTT3", r"[A-Za-z0-9_\-=]{60,}", end=""),
)

# Told by what stands before them.
_PLACED = (
    Format(
        "password-in-address",
        "a password in an address",
        ("://",),
        r"://[^\s/?#@:<>\"'`]*:(?!(?:pass|password|passwd|pw|pwd|token|secret|repo|x+|\*+)@)(?P<v>[^\s/?#@<>\"'`${}]{3,})(?=@)",
        folded=True,
    ),
    Format(
        "bearer-token",
        "a bearer token",
        ("bearer", "authorization"),
        r"(?:authorization[\"']?\s*[:=]\s*[\"']?(?:basic|token|bot)|bearer)[ \t]+"
        r"(?P<v>(?=[A-Za-z0-9_\-.=+/]*[0-9])[A-Za-z0-9_\-.=+/]{16,}(?<![.]))",
        folded=True,
    ),
    Format(
        "netrc-password",
        "a password of .netrc",
        ("machine ",),
        r"machine\s+\S+\s+login\s+\S+\s+(?:account\s+\S+\s+)?password\s+(?P<v>[^\s<]\S{2,})",
        folded=True,
    ),
    Format(
        "pgpass-password",
        "a password of .pgpass",
        (":5432:", ":5433:", ":6432:"),
        r"(?:(?<=[A-Za-z0-9.*_\-])):\d{4}:[^\s:/]+:[^\s:/]+:(?P<v>[^\s:<][^\s<]{3,})$",
        folded=True,
    ),
    Format(
        "docker-auth",
        "a registry's password",
        ("auth",),
        r"auth\\?\"\s*:\s*\\?\"(?P<v>[A-Za-z0-9+/]{12,}={0,2})(?=\\?\")",
        folded=True,
    ),
    Format(
        "kube-key",
        "a key of a cluster",
        ("client-key-data",),
        r"client-key-data\"?\s*:\s*\"?(?P<v>[A-Za-z0-9+/]{40,}={0,2})",
        folded=True,
    ),
    Format(
        "aws-secret",
        "an AWS secret",
        ("access_key", "accesskey"),
        rf"access_?key{_GIVEN}(?P<v>(?=[A-Za-z0-9/+]*[0-9])[A-Za-z0-9/+]{{40}})(?![A-Za-z0-9/+])",
        folded=True,
    ),
    Format(
        "password",
        "a password",
        (
            "password",
            "passwd",
            "passphrase",
            "secret",
            "apikey",
            "api_key",
            "api-key",
            "accesskey",
            "access_key",
            "auth_token",
            "authtoken",
        ),
        r"(?:password|passwd|passphrase|secret|api[_-]?key|access_?key|auth_?token)(?:[0-9]|_key|_base|_value|_token)?"
        rf"{_GIVEN}{_NO_PATH}{_NO_NAME}{_MIXED}{_TYPE}{_ATTRIBUTE}(?P<v>[^\s\"'<>`${{}}()\\]{{8,}}+){_NO_CALL}",
        folded=True,
    ),
    Format(
        "password",
        "a password",
        ("pass",),
        rf"pass(?:(?<=_pass){_GIVEN}|(?<![A-Za-z0-9_]pass)=[\"']?){_NO_PATH}{_MIXED}{_ATTRIBUTE}(?P<v>{_VALUE}{{8,}}+){_NO_CALL}",
        folded=True,
    ),
    Format(
        "token",
        "a token or key",
        ("token", "_key"),
        rf"(?-i:TOKEN|_KEY){_GIVEN}{_NO_PATH}(?!{_WORD}(?:[-_./]{_WORD})+{_OVER}){_MIXED}{_ATTRIBUTE}(?P<v>{_VALUE}{{8,}}+){_NO_CALL}",
        folded=True,
    ),
    Format(
        "token",
        "a token or key",
        ("token", "key"),
        r"(?:(?<!next)(?<!change)(?<!page)token|(?:(?<=private)|(?<=encryption)|(?<=signing)|(?<=master)|(?<=auth)|(?<=service)|(?<=account)"
        r"|(?<=license)|(?<=deploy)|(?<=private[_-])|(?<=encryption[_-])|(?<=signing[_-])|(?<=master[_-])"
        r"|(?<=auth[_-])|(?<=service[_-])|(?<=account[_-])|(?<=license[_-])|(?<=deploy[_-]))key)"
        rf"{_GIVEN}{_NO_PATH}(?!{_WORD}(?:[-_./:]{_WORD})*{_OVER})(?![0-9.eE+\-]+{_OVER}){_MIXED}{_ATTRIBUTE}(?P<v>{_VALUE}{{12,}}+){_NO_CALL}",
        folded=True,
    ),
)

FORMATS: tuple[Format, ...] = (*_TOKENS, *_PLACED)
