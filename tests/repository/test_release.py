"""`release.sh`: which steps follow which, and what it undoes when a call fails.

`aws`, `sam` and the probe are programs that write down how they were called.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.repository.recorded_programs import RecordedPrograms

ROOT = Path(__file__).parents[2]
SCRIPT = "release.sh"
_AT = ("--stack", "voice", "--region", "eu-west-1")
_CANARY, _SERVICE = "https://canary.example.com", "https://voice.example.com"
_STACK = {
    "Parameters[].ParameterKey": "echo pImageTag pTimeZone pCanaryImageTag pCanaryShare",
    "'pImageTag'": "echo 1.0.0",
    "'pECRRepoURL'": "echo 123456789012.dkr.ecr.eu-west-1.amazonaws.com",
    "'pImageName'": "echo voice",
    "'pCanaryWSSEndpoint'": "echo wss://canary.example.com/",
    "'TwimlAPI'": f"echo {_SERVICE}/twiml",
    "'CanaryUrl'": f"echo {_CANARY}",
    "'CanaryAlarm'": "echo voice-Canary-Errors",
    " describe-alarms ": "echo OK",
    " batch-get-image ": """printf 'application/vnd.oci.image.index.v1+json\\t{"schema": 2}\\n'""",
}


@dataclass(frozen=True, slots=True)
class Released:
    """Exit status, messages, and the calls that change or try something, shortened."""

    status: int
    errors: str
    steps: list[str]


class Releases:
    """A stack `voice` with image 1.0.0, and the script."""

    def __init__(self, home: Path) -> None:
        self.programs = RecordedPrograms(home, "sam", "python", "sleep")
        self.aws()

    def aws(self, **cases: str) -> None:
        """Answers of the stack, before them those by a word of the call."""
        self.answers({f" {word.replace('_', '-')} ": code for word, code in cases.items()})

    def answers(self, cases: dict[str, str]) -> None:
        """Answers of the stack, before them those by a part of the call."""
        self.programs.answer_calls("aws", {**cases, **_STACK, **cases})

    def run(self, *options: str, **variables: str) -> Released:
        run = subprocess.run(  # noqa: S603 (our own script)
            [str(ROOT / SCRIPT), *options],
            env={"PATH": self.programs.path, "TWILIO_AUTH_TOKEN": "token", **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        return Released(run.returncode, run.stderr, list(filter(None, map(_step, self.calls))))

    @property
    def calls(self) -> list[list[str]]:
        return self.programs.calls


def _step(call: list[str]) -> str | None:
    """A call in short; None for one that only asks."""
    match call:
        case ["aws", "cloudformation", "update-stack", *words]:
            given = re.findall(r"ParameterKey=(\w+),ParameterValue=(\S*)", " ".join(words))
            return "update " + " ".join(f"{name}={value}" for name, value in given)
        case ["aws", "cloudformation", "wait", *_]:
            return "wait"
        case ["aws", "ecr", "put-image", *words]:
            return f"tag {words[words.index('--image-tag') + 1]}"
        case ["sam", "deploy", *words]:
            return "deploy " + " ".join(words[words.index("--parameter-overrides") + 1 :])
        case ["python", "-m", "agent", "probe", url, "--public-url", _]:
            return f"probe {url}"
        case ["sleep", seconds]:
            return f"sleep {seconds}"
        case _:
            return None


_STARTED = ["update pCanaryImageTag=1.1.0 pCanaryShare=0", "wait"]
_REMOVED = ["update pCanaryImageTag= pCanaryShare=0", "wait"]
_PROMOTED = [
    "tag deployed-1.0.0", "tag deployed-1.1.0",
    'deploy pImageTag=1.1.0 pCanaryImageTag="" pCanaryShare=0',
]  # fmt: skip
_FAILS = {" probe ": "exit 1"}


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return Releases(tmp_path)


def test_a_canary_is_called_before_callers_get_it(releases: Releases) -> None:
    run = releases.run("canary", *_AT, "--tag", "1.1.0", "--share", "5", "--minutes", "2")

    assert (run.status, run.errors) == (0, "")
    assert run.steps == [
        *_STARTED, f"probe {_CANARY}",
        "update pCanaryShare=5", "wait", "sleep 60", "sleep 60", f"probe {_CANARY}",
    ]  # fmt: skip


def test_without_a_share_only_the_probe_calls_the_canary(releases: Releases) -> None:
    run = releases.run("canary", *_AT, "--tag", "1.1.0")

    assert (run.status, run.steps) == (0, [*_STARTED, f"probe {_CANARY}"])


def test_the_canary_is_called_as_the_service_so_its_signatures_are_those_of_callers(
    releases: Releases,
) -> None:
    releases.run("canary", *_AT, "--tag", "1.1.0")

    [probe] = [each for each in releases.calls if "probe" in each]
    assert probe[4:] == [_CANARY, "--public-url", _SERVICE]


def test_all_that_is_not_changed_keeps_its_value_and_its_template(releases: Releases) -> None:
    releases.run("remove", *_AT)

    [update] = [each for each in releases.calls if "update-stack" in each]
    assert "--use-previous-template" in update
    assert update[update.index("--parameters") + 1 :] == [
        "ParameterKey=pImageTag,UsePreviousValue=true",
        "ParameterKey=pTimeZone,UsePreviousValue=true",
        "ParameterKey=pCanaryImageTag,ParameterValue=",
        "ParameterKey=pCanaryShare,ParameterValue=0",
    ]


def test_a_canary_that_fails_its_call_is_removed(releases: Releases) -> None:
    """Three calls, because a task that has just started is slower."""
    releases.programs.answer_calls("python", _FAILS)

    run = releases.run("canary", *_AT, "--tag", "1.1.0", "--share", "5")

    call = f"probe {_CANARY}"
    assert (run.status, run.errors) == (1, "release.sh: 1.1.0 failed; the canary is removed\n")
    assert run.steps == [*_STARTED, call, "sleep 20", call, "sleep 20", call, *_REMOVED]


@pytest.mark.parametrize("state", ["ALARM", "None"])
def test_a_canary_whose_alarm_rings_is_removed(releases: Releases, state: str) -> None:
    """Also one whose alarm cannot be found."""
    releases.aws(describe_alarms=f"echo {state}")

    run = releases.run("canary", *_AT, "--tag", "1.1.0", "--share=5")

    assert run.status == 1
    assert run.steps[-4:] == ["wait", "sleep 60", *_REMOVED]


def test_a_canary_that_does_not_start_is_removed(releases: Releases) -> None:
    """CloudFormation has undone it already, and says that there is nothing to do."""
    nothing = "echo 'No updates are to be performed.' >&2; exit 254"
    releases.answers(
        {
            "ParameterKey=pCanaryImageTag,ParameterValue= ": nothing,
            " stack-update-complete ": "echo 'Waiter failed' >&2; exit 255",
        }
    )

    run = releases.run("canary", *_AT, "--tag", "1.1.0")

    assert run.status == 1
    assert run.steps == [*_STARTED, _REMOVED[0]]


def test_promotion_deploys_keeps_both_images_and_calls_the_service(releases: Releases) -> None:
    run = releases.run("promote", *_AT, "--tag", "1.1.0")

    assert (run.status, run.errors) == (0, "")
    assert run.steps == [*_PROMOTED, f"probe {_SERVICE}"]


def test_an_image_is_kept_with_the_manifest_it_has(releases: Releases) -> None:
    releases.run("promote", *_AT, "--tag", "sha256:" + "0" * 64)

    kept = [each for each in releases.calls if "put-image" in each][-1]
    assert kept[kept.index("--image-tag") + 1] == "deployed-" + "0" * 64
    assert kept[-4:] == [
        "--image-manifest-media-type", "application/vnd.oci.image.index.v1+json",
        "--image-manifest", '{"schema": 2}',
    ]  # fmt: skip


def test_an_image_that_is_kept_already_is_deployed(releases: Releases) -> None:
    releases.aws(put_image="echo '(ImageTagAlreadyExistsException)' >&2; exit 254")

    assert releases.run("promote", *_AT, "--tag", "1.1.0").status == 0


def test_an_image_that_is_not_there_is_not_deployed(releases: Releases) -> None:
    releases.aws(put_image="echo '(ImageNotFoundException)' >&2; exit 254")

    run = releases.run("promote", *_AT, "--tag", "1.1.0")

    assert (run.status, run.errors) == (1, "(ImageNotFoundException)\n")
    assert run.steps == ["tag deployed-1.0.0"]


def test_a_service_that_fails_its_call_gets_the_image_of_before(releases: Releases) -> None:
    releases.programs.answer_calls("python", _FAILS)

    run = releases.run("promote", *_AT, "--tag", "1.1.0")

    assert (run.status, run.errors) == (1, "release.sh: 1.1.0 failed; 1.0.0 is deployed again\n")
    assert run.steps[-3:] == [f"probe {_SERVICE}", "update pImageTag=1.0.0", "wait"]


def test_a_deploy_that_fails_is_not_called(releases: Releases) -> None:
    """CloudFormation has gone back by itself."""
    releases.programs.answer_calls("sam", {" deploy ": "exit 1"})

    run = releases.run("promote", *_AT, "--tag", "1.1.0")

    assert (run.status, run.steps) == (1, _PROMOTED)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ([], "give canary, promote or remove (see --help)"),
        (["canary", "--tag", "1.1.0"], "give --stack and --region"),
        (["promote", *_AT], "give --tag"),
        (["promote", *_AT, "--tag", "latest"],
         "--tag must not be latest: a tag that moves cannot be deployed nor rolled back"),
        (["canary", *_AT, "--tag", "1.1.0", "--share", "101"], "--share must be 0 to 100: 101"),
        (["canary", *_AT, "--tag", "1.1.0", "--minutes", "0"], "--minutes must be 1 to 9999: 0"),
        (["canary", *_AT, "--tag"], "--tag needs a value"),
        (["canary", *_AT, "--force", "1"], "unknown option --force (see --help)"),
    ],
)  # fmt: skip
def test_wrong_options_are_one_clear_line(
    releases: Releases, options: list[str], fault: str
) -> None:
    run = releases.run(*options)

    assert (run.status, run.errors, releases.calls) == (2, f"{SCRIPT}: {fault}\n", [])


def test_nothing_begins_without_what_the_probe_signs_with(releases: Releases) -> None:
    run = releases.run("canary", *_AT, "--tag", "1.1.0", TWILIO_AUTH_TOKEN="")

    assert (run.status, releases.calls) == (2, [])
    assert run.errors == f"{SCRIPT}: TWILIO_AUTH_TOKEN is not set: the probe signs with it\n"


def test_a_stack_without_a_host_for_the_canary_is_left_alone(releases: Releases) -> None:
    releases.answers({"'pCanaryWSSEndpoint'": "echo None"})

    run = releases.run("canary", *_AT, "--tag", "1.1.0")

    assert (run.status, run.steps) == (2, [])
    assert run.errors == f"{SCRIPT}: the stack has no pCanaryWSSEndpoint\n"
