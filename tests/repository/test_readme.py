"""What README and docs tell people to type, open and set is there.

Nothing of it runs against an account: commands, options, parameters, outputs, files and chapters
are looked up where they are defined.
"""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.store.schema import ACTIONS
from tests.templates.loading import CLOUD, LOCAL, ROOT, as_list, load

README = ROOT / "README.md"
SAMPLE = ROOT / "run-local.sh.sample"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))
SAM = ROOT / ".tools" / "sam" / "bin" / "sam"

_LARGEST_BODY = 51_200
"""Bytes of a template that CloudFormation takes without a bucket."""
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CHAPTER = re.compile(r"^## (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OURS = re.compile(r"(?:python -m agent|bash run-local\.sh(?:\.sample)?) ([a-z][^`\n;&|#)]*)")
_SAM = re.compile(r"\bsam (deploy|delete) ([^`;&)]*?)(?:\n(?!#? {3,})|`|$)")
_PARAMETER = re.compile(r"\bp[A-Z][A-Za-z]+\b")
_DEFAULT = re.compile(r"`(p[A-Z]\w+)` (?:\((\d+)\)|is (\d+))")
_OUTPUT = re.compile(r"\boutputs? `?([A-Z][A-Za-z]+)\b|OutputKey=='([A-Z]\w+)'")
_PATH = re.compile(
    r"`((?:agent|benchmarks|configuration|docs|observability|tests)/[\w./-]+|[\w-]+\.yml)`"
)
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_KEPT = {
    "PrimaryDynamoDBTable": "| table |",
    "LogGroup": "| logs of the service,",
    "ExecLogGroup": "and of shells (`pEnableExec`) |",
    "AccessLogBucket": "| bucket of access logs |",
    "BackupVault": "| nightly copies of the table (`pBackupDays`) |",
    "MetricsWorkspace": "| metrics workspace (`pMetricsCollector=sidecar`) |",
    "EncryptionKey": "| key |",
}
"""What outlives the stack, and the row of "Clean up" that says so."""


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def chapter(title: str) -> str:
    """A chapter of the README."""
    return text_of(README).split(f"\n## {title}\n")[1].split("\n## ")[0]


def anchors(path: Path) -> set[str]:
    """What a link into a page may name, as GitHub makes it of headings."""
    return {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(re.sub(r"(?ms)^```.*?^```$", "", text_of(path)))
    }


def commands() -> Iterator[tuple[str, frozenset[str]]]:
    """Each command of ours that is named somewhere, with its options."""
    for path in (*PAGES, SAMPLE):
        for line in _OURS.findall(text_of(path)):
            yield line.split()[0], frozenset(_OPTION.findall(line))


def sam_lines() -> Iterator[tuple[str, str]]:
    """Each line for SAM: the command, and what follows it."""
    for path in (*PAGES, SAMPLE):
        yield from _SAM.findall(text_of(path).replace("\\\n", " "))


@cache
def told_by_sam(command: str) -> str:
    assert SAM.exists(), f"{SAM} is missing; run: bash tests/templates/lint.sh environments"
    run = subprocess.run(  # noqa: S603 (our own program)
        [SAM, command, "--help"],
        env={"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


def parameters(path: Path) -> dict[str, Any]:
    declared: dict[str, Any] = load(path)["Parameters"]
    return declared


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file that is there, and to a heading in it."""
    lost = []
    for link in _LINK.findall(text_of(page)):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)

    assert lost == []


def test_every_chapter_is_in_the_table_of_contents() -> None:
    """What cannot be found from the top is not read."""
    listed = set(_LINK.findall(chapter("Find your way")))
    chapters = set(_CHAPTER.findall(text_of(README))) - {"Find your way"}

    unlisted = {
        title
        for title in chapters
        if "#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") not in listed
    }

    assert len(chapters) > 25
    assert unlisted == set()


def test_first_screen_has_the_two_commands() -> None:
    """A newcomer scrolls later (contract section 2)."""
    first_screen = text_of(README).splitlines()[:30]

    assert "bash run-local.sh.sample talk" in first_screen
    assert "bash tests/run.sh" in first_screen


@pytest.mark.parametrize("command", sorted({command for command, _ in commands()}))
def test_every_command_that_is_named_is_there_with_its_options(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the parser tells them."""
    named = frozenset[str]().union(*(options for name, options in commands() if name == command))

    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])

    told = set(_OPTION.findall(capsys.readouterr().out))
    assert caught.value.code == 0
    assert named - told == set()


def test_most_commands_are_named() -> None:
    """Or the test before looks at nothing."""
    assert {name for name, _ in commands()} == {
        "serve", "talk", "dial", "seed", "check", "show", "replay",
    }  # fmt: skip
    assert {"--canary", "--rollback", "--to", "--dry-run", "--profile", "--all"} <= set().union(
        *(options for name, options in commands() if name == "seed")
    )


def test_every_option_for_the_image_is_one_of_its_script() -> None:
    """In each line that builds it."""
    lines = re.findall(r"^\./build-images\.sh(.*)$", text_of(README), re.MULTILINE)
    named = set(_OPTION.findall("".join(lines)))
    told = subprocess.run(
        ["/bin/bash", "build-images.sh", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert {"--repository", "--push"} <= named
    assert named <= set(_OPTION.findall(told.stdout))


@pytest.mark.parametrize("number", range(len(_BLOCK.findall(text_of(README)))))
def test_block_for_a_shell_can_be_pasted(number: int) -> None:
    """It is complete, and nothing in it is a redirection that was meant as a gap to be filled."""
    block = _BLOCK.findall(text_of(README))[number]

    run = subprocess.run(
        ["/bin/bash", "-n"], input=block, capture_output=True, text=True, check=False
    )

    assert run.stderr == ""
    assert re.findall(r"<[a-z][a-z ]*>", block) == []


def test_parameters_and_outputs_that_are_named_are_in_a_template() -> None:
    """A misspelt one stops a deploy, or is looked for in vain."""
    cloud, local = load(CLOUD), load(LOCAL)
    text = "".join(text_of(path) for path in (*PAGES, SAMPLE))
    named = {first or second for first, second in _OUTPUT.findall(text)}

    assert set(_PARAMETER.findall(text)) <= cloud["Parameters"].keys() | local["Parameters"].keys()
    assert {"TwimlAPI", "HealthUrl", "AlbDnsName", "PolicyArn", "EnvironmentLine"} <= named
    assert named <= cloud["Outputs"].keys() | local["Outputs"].keys()


def test_outputs_are_those_of_the_stack_that_is_meant() -> None:
    """The function `output` asks one stack in one chapter, and another one in the others."""
    local, cloud = (
        chapter("Run with a phone"),
        "".join(
            chapter(title)
            for title in ("Deploy to AWS", "Load records", "Upgrade", "Roll back", "Clean up")
        ),
    )

    asked = set(re.findall(r"\$\(output (\w+)\)", cloud))

    assert set(re.findall(r"\boutput ([A-Z]\w+)", local)) == {"EnvironmentLine", "PolicyArn"}
    assert {"EnvironmentLine", "PolicyArn"} <= load(LOCAL)["Outputs"].keys()
    assert len(asked) > 5
    assert asked <= load(CLOUD)["Outputs"].keys()


def test_defaults_that_are_told_are_those_of_the_template() -> None:
    """A number beside a parameter is its default."""
    told = {
        name: first or second
        for path in PAGES
        for name, first, second in _DEFAULT.findall(text_of(path))
    }

    assert told.keys() >= {"pDrainSeconds", "pMaxTasks"}
    assert told == {name: str(parameters(CLOUD)[name]["Default"]) for name in told}


def test_every_line_for_sam_has_options_that_sam_knows() -> None:
    """And the cloud template goes by a bucket: it is too large to be sent."""
    lines = list(sam_lines())

    unknown = {
        (command, option)
        for command, rest in lines
        for option in _OPTION.findall(rest)
        if option not in _OPTION.findall(told_by_sam(command))
    }

    assert len(lines) > 6
    assert unknown == set()
    assert CLOUD.stat().st_size > _LARGEST_BODY > LOCAL.stat().st_size
    assert all("--resolve-s3" in rest for _, rest in lines if CLOUD.name in rest)
    assert all("CAPABILITY_IAM" in rest for command, rest in lines if command == "deploy")


def test_first_deploy_gives_every_parameter_that_has_no_default() -> None:
    """With values of the form that the template wants."""
    [first] = [rest for _, rest in sam_lines() if "pECRRepoURL=" in rest]
    given = dict(re.findall(r"(p[A-Z]\w+)=(\S+)", first))
    declared = parameters(CLOUD)

    assert {name for name, one in declared.items() if "Default" not in one} <= given.keys()
    assert re.fullmatch(
        declared["pPublicWSSEndpoint"]["AllowedPattern"], given["pPublicWSSEndpoint"]
    )


def test_what_outlives_the_stack_is_told() -> None:
    """What is kept costs something, and holds what callers have said."""
    kept = {
        name
        for name, resource in load(CLOUD)["Resources"].items()
        if resource.get("DeletionPolicy") == "Retain"
    }

    assert kept == _KEPT.keys()
    assert [row for row in _KEPT.values() if row not in chapter("Clean up")] == []
    assert "Retain" not in json.dumps(load(LOCAL)["Resources"])


def test_policy_for_loading_records_is_what_the_service_itself_may() -> None:
    """Valid JSON, with the actions of the table and none more."""
    [block] = re.findall(r"```json\n(.*?)```", chapter("Load records"), re.DOTALL)
    table, key = json.loads(block)["Statement"]

    assert table["Action"] == [f"dynamodb:{action}" for action in ACTIONS]
    assert len(as_list(table["Resource"])) == 2
    assert key["Action"] == "kms:Decrypt"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    """A folder, a file, or several of a kind."""
    named = _PATH.findall(text_of(page))

    missing = [name for name in named if not any(ROOT.glob(f"**/{name.rstrip('/')}"))]

    assert named
    assert missing == []


def test_cost_of_a_call_minute_follows_from_the_prices() -> None:
    """Seven turns of 3,000 tokens read and 60 written, as the chapter says; of three models."""
    [row] = re.findall(r"^\| model: .*\| ([\d., ]+);", chapter("Cost and capacity"), re.MULTILINE)
    prices = tomllib.loads(text_of(ROOT / "configuration" / "prices.toml"))["models"]

    counted = [
        7 * (3 * prices[model]["input"] + 0.06 * prices[model]["output"])
        for model in (
            "us.amazon.nova-micro-v1:0",
            "us.amazon.nova-lite-v1:0",
            "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        )
    ]

    assert [float(each) for each in row.split(",")] == pytest.approx(counted, rel=0.05)
