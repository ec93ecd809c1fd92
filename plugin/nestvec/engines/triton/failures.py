"""Why a call to Triton failed: whether another server may do better, and the error to report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

from tritonclient.utils import InferenceServerException

from nestvec_schemas.errors import DeadlineExceeded, EngineError, EngineUnavailable

_MAX_MESSAGE: Final = 400
_MAX_NAMED: Final = 16
_MAX_SHORT: Final = 80
_CONNECT: Final = re.compile(r"connect: ([A-Za-z ]+)")
_UNSERVED: Final = ("unknown model", "not ready", "is not found", "no available versions")

Kind = Literal["unsent", "lost", "unserved", "late", "failed", "invalid"]
"""``unsent``: no connection; ``lost``: the connection ended during the call; ``unserved``: the server has no
such model now; ``late``: past the deadline; ``failed``: the server failed; ``invalid``: it refused the
inputs, as others would."""


class CallFailure(Exception):
    """A call to one server that failed."""

    def __init__(self, kind: Kind, error: EngineError, address: str, message: str) -> None:
        """``error`` is what to report if no other server is tried."""
        super().__init__(message)
        self.kind, self.error, self.address, self.message = kind, error, address, message


def call_failure(address: str, model: str, inputs: int, error: InferenceServerException) -> CallFailure:
    """Of what Triton's client raised for ``inputs`` inputs."""
    status = str(error.status() or "").removeprefix("StatusCode.")
    text = (error.message() or status or "no reason was given").strip()
    message = text[:_MAX_MESSAGE].removesuffix(".")
    kind = _kind(status, message)
    value = f"{message} ({status})" if status else message
    return CallFailure(kind, _error(kind, address, (model, inputs), value, message), address, message)


def late_call(address: str, model: str, inputs: int, seconds: float) -> CallFailure:
    """A call that nobody waits for any longer."""
    error = _error("late", address, (model, inputs), f"{seconds:g} s", "")
    return CallFailure("late", error, address, f"no answer within {seconds:g} s")


def overdue_calls(address: str, model: str, count: int) -> CallFailure:
    """The server owes the answers to ``count`` calls that were given up."""
    error = DeadlineExceeded(
        f"Triton at {address} gets no batch of {model} until it has ended some that were given up",
        value=f"{count} calls",
        next_step="See its log, and restart it if it does not answer any more.",
    )
    return CallFailure("late", error, address, f"{count} calls that were given up have not ended")


def unusable_output(address: str, model: str, output: str, problem: str) -> CallFailure:
    """The response lacks the output that it should have."""
    error = EngineError(
        f"the response of Triton at {address} for {model} has no float32 {output}",
        value=problem,
        next_step="Point Triton at the repository that nestvec serves from, or export the encoder again.",
    )
    return CallFailure("failed", error, address, problem)


def error_of_all(model: str, failures: Sequence[CallFailure]) -> EngineError:
    """The error of a batch that every server that was tried failed on, naming each."""
    if len({failure.address for failure in failures}) == 1:
        return failures[-1].error
    addresses = list(dict.fromkeys(failure.address for failure in failures))
    named = ", ".join(addresses[:_MAX_NAMED])
    if len(addresses) > _MAX_NAMED:
        named += f" and {len(addresses) - _MAX_NAMED} more"
    reasons = "; ".join(dict.fromkeys(_short(failure.message) for failure in failures))
    kinds = {failure.kind for failure in failures}
    if kinds <= {"unsent", "lost", "unserved"}:
        return EngineUnavailable(
            f"no Triton answers for {model} at {named}",
            value=reasons,
            next_step="Start them, or correct --triton-url; the service recovers once any of them answers.",
        )
    if "late" in kinds:
        return DeadlineExceeded(
            f"no Triton answered in time for {model} at {named}",
            value=reasons,
            next_step="Insert fewer rows at once, or run more Tritons.",
        )
    return EngineError(
        f"every Triton that was tried failed on a batch with {model}: {named}",
        value=reasons,
        next_step="See their logs; if they still fail, export the encoder again.",
    )


def _short(message: str) -> str:
    """gRPC's message without the address, which is named already."""
    match = _CONNECT.search(message)
    return match[1] if match else message[:_MAX_SHORT]


def _kind(status: str, message: str) -> Kind:
    if status == "DEADLINE_EXCEEDED":
        return "late"
    if status in ("NOT_FOUND", "UNAVAILABLE") and any(text in message for text in _UNSERVED):
        return "unserved"
    if status == "UNAVAILABLE":
        return "unsent" if "failed to connect" in message else "lost"
    return "invalid" if status == "INVALID_ARGUMENT" else "failed"


def _error(kind: Kind, address: str, call: tuple[str, int], value: str, message: str) -> EngineError:
    model, inputs = call
    if kind == "late":
        return DeadlineExceeded(
            f"Triton at {address} did not answer in time for {inputs} inputs with {model}",
            value=value,
            next_step="Insert fewer rows at once, or give Triton more instances or a GPU.",
        )
    if kind == "unserved":
        return EngineUnavailable(
            f"Triton at {address} does not serve {model}",
            value=message,
            next_step=f"Point it at the model repository that nestvec serves from, or load {model} "
            "there; its log says why a model did not load.",
        )
    if kind in ("unsent", "lost"):
        return EngineUnavailable(
            f"Triton at {address} does not answer for {model}",
            value=message,
            next_step="Start it, or correct --triton-url; the service recovers once it answers.",
        )
    return EngineError(
        f"Triton at {address} failed on a batch of {inputs} inputs with {model}",
        value=value,
        next_step="See Triton's log; if it still fails, export the encoder again.",
    )
