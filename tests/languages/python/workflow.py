"""A workflow with steps in Python. The input names the case: `clean`, or what goes wrong."""

import gc
import json
import random
import secrets
import time
import uuid

from wit_world import exports
from wit_world.imports import durable

import steps

# What bodies leave behind on purpose.
charged = []


def charge(attempt: int) -> str:
    charged.append(attempt)
    print(f"charging, attempt {attempt}")
    return secrets.token_hex(4)


def flaky(attempt: int) -> str:
    if attempt == 1:
        raise ConnectionError("try again")
    return f"attempt {attempt}"


def clean() -> dict:
    order = str(uuid.uuid4())
    cooling = steps.wait("cooling", 3)
    token = steps.result(steps.step("charge", charge))
    answer = steps.result(steps.step("flaky", flaky, attempts=3))
    steps.result(cooling)
    # Garbage of the bodies, and of workflow code: collecting it touches nothing outside.
    gc.collect()
    time.sleep(2)
    return {"order": order, "token": token, "flaky": answer, "dice": random.randrange(10**9)}


def notifies() -> dict:
    notified = steps.result(steps.step("notify", lambda attempt: f"by attempt {attempt}", attempts=2, at_most_once=True))
    return {"notified": notified}


def leaks_list() -> dict:
    steps.result(steps.step("charge", charge))
    return {"charged": len(charged)}


def leaks_random() -> dict:
    steps.result(steps.step("draw", lambda attempt: str(random.random() >= 0)))
    return {"dice": random.random()}


def leaks_operation() -> dict:
    steps.result(steps.step("charge", charge))
    if charged:
        steps.result(steps.wait("cooling", 1))
    return {}


def leaks_output() -> dict:
    steps.result(steps.step("charge", charge))
    print(f"charged {len(charged)} times")
    steps.result(steps.wait("cooling", 1))
    return {}


def asks_both_ways() -> dict:
    steps.result(steps.wait("cooling", 1))
    durable.next(0)
    return {}


def asks_sealed() -> dict:
    steps.wait("cooling", 1)
    durable.next(0)
    return {}


def begins_after_end() -> dict:
    steps.step("charge", charge)
    run = durable.next_unsealed().value
    durable.end(run.operation, durable.StepOutcome_Succeed(None))
    steps.wait("too early", 1)
    return {}


def returns_after_end() -> dict:
    steps.step("charge", charge)
    run = durable.next_unsealed().value
    durable.end(run.operation, durable.StepOutcome_Succeed(None))
    return {}


def reads_after_end() -> dict:
    drawn = random.SystemRandom()
    steps.step("charge", charge)
    event = durable.next_unsealed()
    if isinstance(event, durable.Event_Run):
        durable.end(event.value.operation, durable.StepOutcome_Succeed("done"))
        print(time.time(), time.monotonic(), drawn.random())
        event = durable.next_unsealed()
    return {"outcome": event.value.outcome.value, "at": time.time(), "dice": drawn.random()}


CASES = {
    case.__name__: case
    for case in (
        clean,
        notifies,
        leaks_list,
        leaks_random,
        leaks_operation,
        leaks_output,
        asks_both_ways,
        asks_sealed,
        begins_after_end,
        returns_after_end,
        reads_after_end,
    )
}


class Run(exports.Run):
    def run(self) -> None:
        case = json.loads(durable.input())["case"]
        outcome = CASES[case]()
        if case != "returns_after_end":
            steps.finish(json.dumps(outcome))
