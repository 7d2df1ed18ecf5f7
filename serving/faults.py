"""What a request can be refused with: each fault has a status, a stable code and a sentence for the client."""

from __future__ import annotations


class ServiceFault(Exception):
    """Base of every refusal; the wire turns it into its answer, in whatever form the route speaks.

    Args:
        detail: what was given, what was expected, what to do; safe to show to a client.
        code: stable snake_case name; None takes the class's own.
        index: number of the input that is at fault, from 0; None where it is no single one.
        field: name of the option that is at fault, or "model"; None where it is none.
        retry_after: seconds after which the same request may succeed; None where it will not.

    Attributes:
        status: HTTP status.
    """

    status = 500
    code = "internal_error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        index: int | None = None,
        field: str | None = None,
        retry_after: float | None = None,
    ):
        super().__init__(detail)
        self.detail, self.index, self.field, self.retry_after = detail, index, field, retry_after
        if code is not None:
            self.code = code


class UnknownModel(ServiceFault):
    """No model of that name is served."""

    status, code = 404, "unknown_model"


class WrongTask(ServiceFault):
    """The model has no head for what was asked."""

    status, code = 422, "wrong_task"


class BadItem(ServiceFault):
    """One input cannot be answered: too_long, empty_input, no_mask, bad_ids, bad_option or bad_input."""

    status, code = 422, "bad_input"


class QueueFull(ServiceFault):
    """More is waiting than the queue takes: come back later."""

    status, code = 429, "queue_full"


class Unavailable(ServiceFault):
    """The model does not answer now: loading, draining, engine_restarting or engine_failed."""

    status, code = 503, "loading"

    @classmethod
    def not_ready(cls, name: str, *, state: str, reason: str) -> Unavailable:
        """For a model that is loading, or failed to; `reason` may be a sentence."""
        code = "engine_failed" if state == "failed" else "loading"
        return cls(f"model {name!r} is not ready: {reason.removesuffix('.')}.", code=code, retry_after=5.0)


class DeadlineExceeded(ServiceFault):
    """The request's time was over before its answer was there."""

    status, code = 504, "deadline_exceeded"


class Cancelled(ServiceFault):
    """The client is gone; nobody reads this."""

    status, code = 499, "client_closed_request"


class EngineError(ServiceFault):
    """The network failed on this input, though it was a valid one."""

    status, code = 500, "engine_error"


class LoadFailed(ServiceFault):
    """A model could not be loaded; a model that was served under its name still is."""

    status, code = 422, "load_failed"
