"""Errors: each says what happened, and `hint` says what to do."""

from __future__ import annotations


class LettaError(Exception):
    """Base of every error that a person reads: `str(error)` is what happened, `hint` what to do next."""

    kind = "error"
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(LettaError):
    """The command line or a command's words are off."""

    kind = "usage"
    exit_code = 2


class ConfigError(LettaError):
    """A setting, key or configuration file is missing or wrong."""

    kind = "config"


class StoreError(LettaError):
    """The store could not keep or give something."""

    kind = "store"


class StoreReadOnly(StoreError):
    """The store was made by a newer version, or cannot be written."""

    kind = "store_read_only"


class StoreFull(StoreError):
    """No room (ENOSPC) or a write error (EIO): nothing was acknowledged; try again when there is room."""

    kind = "store_full"


class StoreBusy(StoreError):
    """Another process holds the lock for longer than was waited: nothing was done; try again."""

    kind = "store_busy"


class StoreDamaged(StoreError):
    """The file is no database, or parts of it cannot be read."""

    kind = "store_damaged"


class ConversationBusy(StoreError):
    """Another process writes this conversation."""

    kind = "conversation_busy"


class WorkspaceError(LettaError):
    """A file or process could not be reached; the text is fit for the model too."""

    kind = "workspace"


class NotStartedError(WorkspaceError):
    """A command was not started at all: it has done nothing."""


class ToolError(LettaError):
    """A tool could not do what was asked; the message tells the model what to do next."""

    kind = "tool"


class ProviderError(LettaError):
    """A model's provider failed.

    `retryable` says whether the same request may be sent again; `status` is the HTTP status (0 if none came);
    `retry_after` is in seconds, None when the provider did not say; `url` is the address that was asked.
    """

    kind = "provider"
    exit_code = 75
    retryable = False

    def __init__(
        self, message: str, *, hint: str = "", status: int = 0, retry_after: float | None = None, url: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after = retry_after
        self.url = url


class RateLimited(ProviderError):
    """429: too many requests for now."""

    kind = "rate_limited"
    retryable = True


class Overloaded(ProviderError):
    """500, 502, 503, 504, 529: the provider's fault, for now."""

    kind = "overloaded"
    retryable = True


class EndpointUnreachable(ProviderError):
    """Nothing answered at the address (refused, no such host, TLS)."""

    kind = "unreachable"
    retryable = True


class StreamStalled(ProviderError):
    """No byte came for the allowed time."""

    kind = "stalled"
    retryable = True


class StreamBroken(ProviderError):
    """The stream ended in the middle or was not what the protocol says."""

    kind = "broken"
    retryable = True


class QuotaExceeded(ProviderError):
    """The account has no money or quota left: waiting does not help."""

    kind = "quota"


class BadKey(ProviderError):
    """401 or 403: the key is wrong, missing or not allowed; a configuration error."""

    kind = "bad_key"
    exit_code = 1


class BadRequest(ProviderError):
    """400, 404, 422: the provider refused the request as it is (unknown model included)."""

    kind = "bad_request"
    exit_code = 1


class ContextOverflow(ProviderError):
    """The messages do not fit the model's window."""

    kind = "context_overflow"
    exit_code = 1
