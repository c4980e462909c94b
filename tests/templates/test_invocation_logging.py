"""The function that turns Bedrock's invocation logging on and off, run against a simulated account.

There is one such switch per account and region, and it records what callers say. So the function
must never take over a switch that another stack has set, nor clear it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.templates.conftest import REGION, Account
from tests.templates.loading import CLOUD, LOCAL, cloud, load, stack

_OURS = {"LogGroupName": "ours", "RoleArn": "arn:aws:iam::123456789012:role/logging"}


class _Answers(HTTPServer):
    """Takes what a custom resource answers to CloudFormation."""

    answers: list[dict[str, Any]]


class _Receiver(BaseHTTPRequestHandler):
    server: _Answers

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answers.append(json.loads(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (named by http.server)
        """Keep quiet."""


Function = Callable[..., str]
"""Receives a request with properties; its answer's status."""


@pytest.fixture
def function(tmp_path: Path, moto_endpoint: str) -> Iterator[Function]:
    """The template's function, run as Lambda runs it."""
    properties = cloud()["Resources"]["InvocationLoggingFunction"]["Properties"]
    (tmp_path / "index.py").write_text(properties["Code"]["ZipFile"])
    environment = {
        "AWS_ENDPOINT_URL": moto_endpoint, "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "moto", "AWS_SECRET_ACCESS_KEY": "moto",
    }  # fmt: skip
    asked = {"StackId": "stack", "RequestId": "request", "LogicalResourceId": "InvocationLogging"}

    def receive(request: str, **properties: dict[str, str]) -> str:
        url = f"http://127.0.0.1:{server.server_port}/answer"
        event: dict[str, object] = {"RequestType": request, "ResponseURL": url, **asked}
        event |= {"ResourceProperties": _OURS, **properties}
        program = f"import index; index.handler({event!r}, None)"
        subprocess.run(  # noqa: S603 (the template's own code)
            [sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True
        )
        answer = server.answers.pop()
        assert asked.items() <= answer.items()
        return str(answer["Status"])

    with _Answers(("127.0.0.1", 0), _Receiver) as server:
        server.answers = []
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield receive
        server.shutdown()
        thread.join()


def group(account: Account) -> str | None:
    config = account("bedrock").get_model_invocation_logging_configuration().get("loggingConfig")
    name: str | None = (config or {}).get("cloudWatchConfig", {}).get("logGroupName")
    return name


def set_by_another_stack(account: Account) -> None:
    account("logs").create_log_group(logGroupName="theirs")
    account("bedrock").put_model_invocation_logging_configuration(
        loggingConfig={"cloudWatchConfig": {"logGroupName": "theirs", "roleArn": _OURS["RoleArn"]}}
    )


def test_callers_words_are_logged_only_when_asked_for(path: Path) -> None:
    template = load(path)
    parts = [name for name in template["Resources"] if "Invocation" in name or "rBedrock" in name]

    assert template["Parameters"]["pEnableInvocationLogging"]["Default"] == "false"
    assert len(parts) == (1 if path == CLOUD else 8)
    for name in parts:
        assert template["Resources"][name]["Condition"] in {"LogsInvocations", "TellsOfLogging"}


def test_both_templates_have_the_same_function_small_enough_to_stand_in_them() -> None:
    """CloudFormation takes 4,096 characters of code in a template."""
    deployed, at_home = (
        stack(path)["Resources"]["InvocationLoggingFunction"]["Properties"]["Code"]["ZipFile"]
        for path in (CLOUD, LOCAL)
    )

    assert deployed == at_home
    assert len(deployed) <= 4096


def test_logging_goes_on_with_the_stack_and_off_with_it(
    account: Account, function: Function
) -> None:
    account("logs").create_log_group(logGroupName="ours")

    assert function("Create") == "SUCCESS"
    assert group(account) == "ours"

    assert function("Delete") == "SUCCESS"
    assert group(account) is None


def test_logging_follows_when_the_group_is_replaced(account: Account, function: Function) -> None:
    """An update may take over what this stack itself had set."""
    for name in ("ours", "new"):
        account("logs").create_log_group(logGroupName=name)
    function("Create")

    status = function(
        "Update",
        ResourceProperties={**_OURS, "LogGroupName": "new"},
        OldResourceProperties=_OURS,
    )

    assert (status, group(account)) == ("SUCCESS", "new")


def test_a_switch_that_another_stack_has_set_is_left_alone(
    account: Account, function: Function
) -> None:
    """Creation fails and says so; the deletion that follows does not clear it either."""
    set_by_another_stack(account)

    assert function("Create") == "FAILED"
    assert function("Delete") == "SUCCESS"

    assert group(account) == "theirs"
