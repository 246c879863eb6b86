"""Canaries: one made-up secret of each format, in the surroundings in which it is found.

Put together at run time, so that no scanner takes them for a leak.
"""

from __future__ import annotations

from typing import NamedTuple

_ANY = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7" * 8
_HEX = "0a1b2c3d4e5f6789" * 16
_BIG = "Q7XR2KD9VN4TB8LM" * 8


class Canary(NamedTuple):
    """`value` is what must not stand anywhere; `line` is a line of a file that holds it."""

    kind: str
    line: str
    value: str


def _bare(kind: str, value: str) -> Canary:
    return Canary(kind, f"the value is {value} here", value)


def _named(kind: str, before: str, value: str, after: str = "") -> Canary:
    return Canary(kind, before + value + after, value)


CANARIES: tuple[Canary, ...] = (
    _bare("aws-key", "AKIA" + _BIG[:16]),
    _named("aws-secret", "aws_secret_access_key = ", "wJ4l" + _ANY[:36]),
    _bare("github-token", "ghp_" + _ANY[:36]),
    _bare("github-token", "github_pat_" + _BIG[:22] + "_" + _ANY[:59]),
    _bare("github-token", "ghs_" + _ANY[5:41]),
    _bare("gitlab-token", "glpat-" + _ANY[:20]),
    _bare("slack-token", "xoxb-" + "123456789012-" + _ANY[:24]),
    _named(
        "slack-webhook", "url: https://hooks.slack.com/services/", "T" + _BIG[:8] + "/B" + _BIG[:8] + "/" + _ANY[:24]
    ),
    _bare("google-key", "AIza" + _ANY[:35]),
    _bare("google-token", "ya29." + _ANY[:60]),
    _bare("openai-key", "sk-proj-" + _ANY[:48]),
    _bare("api-key", "sk-" + _ANY[:48]),
    _bare("anthropic-key", "sk-ant-" + "api03-" + _ANY[:60]),
    _bare("stripe-key", "sk_live_" + _ANY[:24]),
    _bare("npm-token", "npm_" + _ANY[:36]),
    _bare("pypi-token", "pypi-" + _ANY[:80]),
    _named("telegram-token", "bot 123456789:", "AA" + _ANY[:33]),
    _bare("sendgrid-key", "SG." + _ANY[:22] + "." + _ANY[:43]),
    _bare("twilio-key", "SK" + _HEX[:32]),
    _bare("mailgun-key", "key-" + _HEX[:32]),
    _bare("digitalocean-token", "dop_v1_" + _HEX[:64]),
    _bare("heroku-key", "HRKU-" + _HEX[:36]),
    _named(
        "azure-key", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=", _ANY[:86] + "==", ";EndpointSuffix=x"
    ),
    _bare("web-token", "eyJ" + _ANY[:20] + ".eyJ" + _ANY[:30] + "." + _ANY[:43]),
    _named("password-in-address", "origin https://bob:", "hunTer2x9Q", "@github.com/a/b.git (fetch)"),
    _named("bearer-token", "Authorization: Bearer ", _ANY[:40]),
    _named("password", "DB_PASSWORD=", "tr0ub4dor&3x"),
    _named("password", 'client_secret: "', "f00b4rb4zq", '"'),
    _named("token", "DEPLOY_TOKEN=", "zz9plural8zAlpha"),
    _named("token", '    token: "', "k8s3c" + _ANY[:30], '"'),
    _named("netrc-password", "machine api.example.com login bob password ", "swordfish-9-x"),
    _named("pgpass-password", "db.example.com:5432:app:bob:", "pgS3cretWord"),
    _named("docker-auth", '"auths": {"registry.example.com": {"auth": "', "Ym9iOn" + _ANY[:22] + "==", '"}}'),
    _named("kube-key", "    client-key-data: ", "LS0tLS" + _ANY[:120] + "="),
    _bare("hugging-face-token", "hf_" + _ANY[:34]),
    _bare("databricks-token", "dapi" + _HEX[:32]),
    _named("token", "CLOUDFLARE_API_TOKEN=", "v7q" + _ANY[:37]),
    _bare("discord-token", "MT" + "A5Nz" * 5 + "Mg" + "." + _ANY[:6] + "." + _ANY[:38]),
    _named("discord-webhook", "https://discord.com/api/webhooks/", "112233445566778899/" + _ANY[:68]),
    _bare("linear-key", "lin_api_" + _ANY[:40]),
    _bare("shopify-token", "shpat_" + _HEX[:32]),
    _bare("notion-token", "ntn_" + _ANY[:46]),
    _bare("grafana-token", "glsa_" + _ANY[:32] + "_" + _HEX[:8]),
    _bare("vault-token", "hvs." + _ANY[:95]),
    _bare("docker-token", "dckr_pat_" + _ANY[:27]),
    _bare("age-key", "AGE-SECRET-KEY-1" + _BIG[:58]),
)

KEY_LINES = (*("MIIE" + _ANY[n : n + 60] for n in range(12)), "Xq9" + _ANY[:20] + "==")


def private_key(kind: str = "RSA PRIVATE KEY") -> str:
    """A private key of several lines, ended by a newline."""
    return "\n".join((f"-----BEGIN {kind}-----", *KEY_LINES, f"-----END {kind}-----", ""))


KEY_KINDS = ("RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK", "PRIVATE KEY", "EC PRIVATE KEY")
VALUES = (*(one.value for one in CANARIES), *KEY_LINES)
