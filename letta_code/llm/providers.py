"""The providers that our own clients speak to directly; every other name goes through litellm."""

from __future__ import annotations

from letta_code.core.messages import Value


class Provider(Value):
    """A provider by litellm's name.

    `dialect` is openai or anthropic; `base_url` is without the path of the call; `key_env` are the variables that may
    hold the key, the first is the usual one; `url_env` the variables that move the base URL.  The rest are differences
    between servers that all speak chat completions:
    `limit_field` names the field for the longest answer; `usage_option`: whether stream_options is understood;
    `call_id` is a pattern that the ids of calls must match, where another provider's may not;
    `send_reasoning`: reasoning must come back with the calls that it led to; `server`: a server that a person runs,
    which needs no key.
    """

    name: str
    title: str
    dialect: str = "openai"
    base_url: str = ""
    key_env: tuple[str, ...] = ()
    url_env: tuple[str, ...] = ()
    limit_field: str = "max_tokens"
    usage_option: bool = True
    call_id: str = ""
    send_reasoning: bool = False
    server: bool = False


# Base URLs and variable names are the providers' own, as litellm 1.102.4 uses them.
PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        Provider(
            name="openai",
            title="OpenAI",
            base_url="https://api.openai.com/v1",
            key_env=("OPENAI_API_KEY",),
            url_env=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
            limit_field="max_completion_tokens",
            call_id=r".{1,40}",
        ),
        Provider(
            name="anthropic",
            title="Anthropic",
            dialect="anthropic",
            base_url="https://api.anthropic.com",
            key_env=("ANTHROPIC_API_KEY",),
            url_env=("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"),
        ),
        Provider(
            name="openrouter",
            title="OpenRouter",
            base_url="https://openrouter.ai/api/v1",
            key_env=("OPENROUTER_API_KEY", "OR_API_KEY"),
            url_env=("OPENROUTER_API_BASE",),
        ),
        Provider(
            name="groq",
            title="Groq",
            base_url="https://api.groq.com/openai/v1",
            key_env=("GROQ_API_KEY",),
            url_env=("GROQ_API_BASE",),
        ),
        Provider(
            name="deepseek",
            title="DeepSeek",
            base_url="https://api.deepseek.com/v1",
            key_env=("DEEPSEEK_API_KEY",),
            url_env=("DEEPSEEK_API_BASE",),
            send_reasoning=True,
        ),
        Provider(
            name="mistral",
            title="Mistral",
            base_url="https://api.mistral.ai/v1",
            key_env=("MISTRAL_API_KEY",),
            url_env=("MISTRAL_API_BASE",),
            call_id=r"[a-zA-Z0-9]{9}",
            usage_option=False,  # counts come by themselves; unknown fields are answered with 422
        ),
        Provider(
            name="together_ai",
            title="Together AI",
            base_url="https://api.together.xyz/v1",
            key_env=("TOGETHER_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY"),
            url_env=("TOGETHER_AI_API_BASE",),
        ),
        Provider(
            name="fireworks_ai",
            title="Fireworks AI",
            base_url="https://api.fireworks.ai/inference/v1",
            key_env=("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
            url_env=("FIREWORKS_API_BASE",),
        ),
        Provider(
            name="xai",
            title="xAI",
            base_url="https://api.x.ai/v1",
            key_env=("XAI_API_KEY",),
            url_env=("XAI_API_BASE",),
        ),
        Provider(
            name="moonshot",
            title="Moonshot",
            base_url="https://api.moonshot.ai/v1",
            key_env=("MOONSHOT_API_KEY",),
            url_env=("MOONSHOT_API_BASE",),
            send_reasoning=True,
        ),
        Provider(
            name="cerebras",
            title="Cerebras",
            base_url="https://api.cerebras.ai/v1",
            key_env=("CEREBRAS_API_KEY",),
            url_env=("CEREBRAS_API_BASE",),
            limit_field="max_completion_tokens",
        ),
        Provider(
            name="ollama",
            title="Ollama",
            base_url="http://127.0.0.1:11434/v1",
            key_env=("OLLAMA_API_KEY",),
            url_env=("OLLAMA_API_BASE", "OLLAMA_HOST"),
            server=True,
        ),
        Provider(
            name="lm_studio",
            title="LM Studio",
            base_url="http://127.0.0.1:1234/v1",
            key_env=("LM_STUDIO_API_KEY",),
            url_env=("LM_STUDIO_API_BASE",),
            server=True,
        ),
        Provider(
            name="hosted_vllm",
            title="vLLM",
            base_url="http://127.0.0.1:8000/v1",
            key_env=("HOSTED_VLLM_API_KEY",),
            url_env=("HOSTED_VLLM_API_BASE",),
            server=True,
        ),
        Provider(
            name="llamacpp",
            title="llama.cpp",
            base_url="http://127.0.0.1:8080/v1",
            key_env=("LLAMACPP_API_KEY",),
            url_env=("LLAMACPP_API_BASE",),
            server=True,
        ),
    )
}

# Other names that people write for the same provider.
ALIASES = {
    "ollama_chat": "ollama",
    "lmstudio": "lm_studio",
    "vllm": "hosted_vllm",
    "llama_cpp": "llamacpp",
    "llama.cpp": "llamacpp",
    "together": "together_ai",
    "fireworks": "fireworks_ai",
    "custom_openai": "openai",
}
