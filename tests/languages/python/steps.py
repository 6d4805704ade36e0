"""Steps and waits over the generated bindings of `everstep:workflow/durable`."""

from collections.abc import Callable

from componentize_py_types import Err, Ok
from wit_world.imports import durable
from wit_world.imports.durable import ErrorObject, StepOptions, StepSemantics

_bodies: dict[int, Callable[[durable.Run], durable.StepOutcome]] = {}
_outcomes: dict[int, durable.Outcome] = {}


def step(name: str, body, *, attempts: int = 1, at_most_once: bool = False) -> int:
    """Begins a step; `body` is called with the attempt, from 1, and answers text."""
    semantics = (
        StepSemantics.AT_MOST_ONCE_PER_RETRY if at_most_once else StepSemantics.AT_LEAST_ONCE_PER_RETRY
    )
    operation = durable.begin_step(0, StepOptions(name, semantics))

    def attempt(run: durable.Run) -> durable.StepOutcome:
        try:
            if run.interrupted:
                raise InterruptedError("the attempt was interrupted")
            return durable.StepOutcome_Succeed(body(run.attempt))
        except Exception as error:
            kind = "StepInterruptedError" if run.interrupted else type(error).__name__
            reason = ErrorObject(str(error), kind, None, [])
            if run.attempt < attempts:
                return durable.StepOutcome_Retry(durable.Retry(2, durable.RetryReason_Error(reason)))
            return durable.StepOutcome_Fail(reason)

    _bodies[operation] = attempt
    return operation


def wait(name: str, seconds: int) -> int:
    """Begins a wait."""
    return durable.begin_wait(0, name, seconds)


def result(operation: int) -> str | None:
    """What the operation yielded, once it has."""
    while operation not in _outcomes:
        match durable.next_unsealed():
            case durable.Event_Run(run):
                durable.end(run.operation, _bodies[run.operation](run))
            case durable.Event_Completed(completed):
                _outcomes[completed.operation] = completed.outcome
    match _outcomes[operation]:
        case durable.Outcome_Succeeded(value):
            return value
        case failed:
            raise RuntimeError(f"{failed.value.error_type}: {failed.value.message}")


def finish(text: str) -> None:
    """The workflow's result."""
    durable.finish(Ok(text))


def fail(kind: str, message: str) -> None:
    """The workflow failed."""
    durable.finish(Err(ErrorObject(message, kind, None, [])))
