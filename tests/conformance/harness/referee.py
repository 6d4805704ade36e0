"""AWS's conformance suite as the referee: what is asked, what an outside system does, and whether it is right are decided
by the suite's own code; only where the executions run is ours.

Speaks JSON lines. The first line out lists the cases; then every line in is a question and every line out its answer.
"""

import json
import sys
from pathlib import Path

import aws_durable_execution_conformance_tests as suite
from aws_durable_execution_conformance_tests import validate
from aws_durable_execution_conformance_tests.callback import CallbackAction, CallbackError, CallbackSender
from aws_durable_execution_conformance_tests.cloudwatch import CloudWatchLogValidator
from aws_durable_execution_conformance_tests.history import EventHistoryMatcher, load_yaml_file
from aws_durable_execution_conformance_tests.variables import PlaceholderContext


class Client:
    """Stands where the suite has a client of Lambda: answers with the execution, notes down what is sent."""

    def __init__(self, execution=None):
        self.execution = execution
        self.sent = None

    def get_durable_execution(self, DurableExecutionArn):
        return self.execution

    def send_durable_execution_callback_success(self, CallbackId, Result=None):
        self.sent = {"operation": "success", "result": None if Result is None else Result.decode()}

    def send_durable_execution_callback_failure(self, CallbackId, Error=None):
        self.sent = {"operation": "failure", "error": Error or {}}

    def send_durable_execution_callback_heartbeat(self, CallbackId):
        self.sent = {"operation": "heartbeat"}


class Case:
    """A requirement with its variables resolved, and what has happened to its callbacks."""

    def __init__(self, requirement, path):
        self.id = requirement
        self.suite = path.parent.name
        self.data = load_yaml_file(str(path))
        self.context = PlaceholderContext()
        self.context.resolve_variables(self.data.get("Variables"))
        self.events = self.data.get("ExpectedExecutionHistory") or []
        self.actions = [CallbackAction.from_dict(action) for action in self.data.get("CallbackActions") or []]
        self.handled = set()
        self.used = set()
        self.errors = []

    def describe(self):
        return {
            "id": self.id,
            "suite": self.suite,
            "input": json.dumps(self.context.substitute(self.data.get("Input"))),
            "ends": self.data.get("ExpectedResult") is not None,
            "last_event": max((event["EventId"] for event in self.events), default=0),
            "logs": bool(self.data.get("ExpectedLogs")),
        }

    def callbacks(self, events):
        """What the outside system now sends, in this order, as `PollingValidator` does; delays add up."""
        sends = []
        for event in validate.extract_callback_events(events, self.handled):
            callback = event["CallbackStartedDetails"]["CallbackId"]
            action, index = validate.find_matching_action(event, self.actions, self.used, self.context)
            if action is None:
                self.handled.add(callback)
                if self.actions:
                    self.errors.append(f"no CallbackAction for callback {event.get('Name', '<anonymous>')!r}")
                continue
            self.used.add(index)
            if action.operation != "heartbeat":
                self.handled.add(callback)
            resolved = CallbackAction(
                callback_name=action.callback_name,
                operation=action.operation,
                payload=self.context.substitute(action.payload),
            )
            client = Client()
            try:
                CallbackSender(client).send(callback, resolved)
            except CallbackError as error:
                self.errors.append(str(error))
                continue
            sends.append({"callback": callback, "delay_seconds": action.delay_seconds, **client.sent})
        return sends

    def verdict(self, events, execution, logs):
        errors = list(self.errors)
        if not self.events:
            errors.append("the requirement expects no history")
        errors += EventHistoryMatcher(context=self.context).match(self.events, events).errors
        expected = self.data.get("ExpectedResult")
        if expected:
            client = Client(execution)
            errors += validate._validate_execution_result(execution["DurableExecutionArn"], expected, client, self.context)
        wanted = self.data.get("ExpectedLogs") or []
        said = CloudWatchLogValidator().validate(wanted, logs, context=self.context)
        return {"errors": errors, "log_errors": said.errors}


def main():
    requirements = Path(suite.__file__).parent / "test_requirements"
    files = validate.discover_test_files(requirements)
    cases = {requirement: Case(requirement, Path(path)) for requirement, path in files.items()}
    say({"files": len(list(requirements.rglob("*.yaml"))), "cases": [case.describe() for case in cases.values()]})
    for line in sys.stdin:
        question = json.loads(line)
        case = cases[question["id"]]
        if question["ask"] == "callbacks":
            say(case.callbacks(question["events"]))
        else:
            say(case.verdict(question["events"], question["execution"], question["logs"]))


def say(answer):
    print(json.dumps(answer), flush=True)


main()
