"""Secrets are found by their formats; everyday texts are left alone."""

from __future__ import annotations

import pytest

from letta_code.safety.secrets import secret_reason, without_secrets

# Put together at run time, so that no scanner takes the test for a leak.
SECRETS = [
    "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEow\n-----END RSA PRIVATE " + "KEY-----",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "11ABCDEFG0" * 5,
    "glpat-" + "x1Y2" * 5,
    "xoxb-" + "123456789012-abcdef",
    "AIza" + "SyA1" * 9,
    "sk-" + "proj-" + "Ab12" * 10,
    "sk-ant-" + "api03-" + "Ab12" * 10,
    "hf_" + "Ab12" * 8,
    "npm_" + "Ab12" * 9,
    "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0In0" + ".abcdefghijklmnop",
    "postgres://bob:" + "hunter2x@db/x",
    "Authorization: Bearer " + "abc123" * 5,
    "DB_PASSWORD = " + "tr0ub4dor",
    "MYSECRET_TOKEN=" + "zz9plural8z",
    "DB_PASS=" + "hunter22x",
    "PASS=" + "hunter22x",
    "TOKEN=" + "abc12345xyz",
    "GITHUB_TOKEN=" + "0a1b2c3d4e5f60718293",
    "MYSQL_PASSWD: " + "s3cretpazz",
    "DJANGO_SECRET_KEY='" + "x9$k2-8fj3kd02ls'".replace("$", "!"),
    'CLIENT_SECRET="' + 'f00b4rb4z"',
    "STRIPE_KEY=" + "wq8f7h2k1l",
    "TELEGRAM_BOT_TOKEN=" + "1234:abcdEFGH5678",
    '"refresh_token": "' + '3kd92-fjs8f-2k3jf"',
    "LICENSE_KEY=" + "3F25-04E0-4F89-11D3",
]
HARMLESS = [
    "They like short answers.",
    "Run the tests with `pytest -q tests/`; the API key is in the environment variable OPENAI_API_KEY.",
    "password: ask Maria",
    "The task-key_of_the_thing is described in docs/key-concepts-and-overview.md",
    "https://example.org/user@host",
    "commit 0123456789abcdef0123456789abcdef01234567",
    "sk-learn and pk-values",
    "PASS: tests/test_login_2.py in 12 s",
    "first pass: 12345abcdef",
    "PWD=/home/ann/project2",
    "SSH_KEY=~/.ssh/id_ed25519",
    "CACHE_KEY: v2-deps-linux",
    "cache_key = 'user_list_v2'",
    "primary_key=customer2",
    "token = next_token2(stream)",
    "token: Token2024",
    "max_tokens=200000, TOKEN=${GITHUB_TOKEN} and KEY=VALUE",
    "GITHUB_TOKEN: ${{ secrets.GITHUB_TOKEN2 }}",
    "The key: press Ctrl+Alt+Del2 twice",
    "sort_key=created_at2",
    "compass=northwest12",
    "TOKEN=changeme",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_known_format_is_named_and_taken_out(text: str) -> None:
    said = f"Keep this: {text} and that"
    assert secret_reason(said).startswith("it holds a")
    cleaned, count = without_secrets(said)
    assert count >= 1 and "[removed: " in cleaned and text not in cleaned
    assert secret_reason(cleaned) == ""


@pytest.mark.parametrize("text", HARMLESS)
def test_everyday_texts_are_left_alone(text: str) -> None:
    assert secret_reason(text) == ""
    assert without_secrets(text) == (text, 0)
