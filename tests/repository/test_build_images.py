"""`build-images.sh`: what it would do, what it does, and what it refuses.

It runs in a git repository of its own, whose one commit is always the same. `docker` and `aws` are
scripts that write down how they were called.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.repository.recorded_programs import RecordedPrograms
from tests.templates.loading import CLOUD, load

ROOT = Path(__file__).parents[2]
SCRIPT = "build-images.sh"
REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
_CHINA = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"
REPOSITORY = f"{REGISTRY}/twilio-conversation-relay-bedrock-services"
COMMIT = "b76edb417c50eb03910bf903775c194127cc9549"
DIGEST = "sha256:" + "5" * 64
PROFILE = "arn:aws:signer:eu-west-1:123456789012:/signing-profiles/voice_agent"
_NATIVE, _FOREIGN = ("arm64", "amd64") if platform.machine() == "aarch64" else ("amd64", "arm64")
_RUNS_BOTH = "echo 'Platforms: linux/amd64*, linux/amd64/v2, linux/arm64'"
_WHO = "Ada Example"
_WHEN = "2026-03-05T18:40:00+0100"


def constant(pattern: str) -> str:
    """A text that the script has once."""
    [text] = re.findall(pattern, (ROOT / SCRIPT).read_text(encoding="utf-8"), re.MULTILINE)
    return str(text)


EMULATORS = constant(r"^emulators=(\S+@sha256:[0-9a-f]{64})$")
RULES = constant(r"'(\{\"rules\".*\})'")


@dataclass(frozen=True, slots=True)
class Finished:
    """Exit status and output of a run."""

    status: int
    output: str
    errors: str

    @property
    def commands(self) -> list[str]:
        lines = [line[2:] for line in self.output.splitlines() if line.startswith("+ ")]
        return [each for line in lines for each in line.split(" | ")]

    @property
    def words(self) -> list[list[str]]:
        """Of the commands."""
        return [shlex.split(each) for each in self.commands]

    @property
    def parameters(self) -> dict[str, str]:
        return dict(re.findall(r"^    (p[A-Za-z]+)=(\S+)", self.output, re.MULTILINE))


def failed(fault: str) -> Finished:
    return Finished(2, "", f"{SCRIPT}: {fault}\n")


class Sources:
    """A checkout with the script, beside programs that write down their calls.

    One commit, by one author at one time, so its name is known; the script is not part of it.
    """

    def __init__(self, home: Path) -> None:
        self.folder, self._home = home / "sources", home
        self.folder.mkdir()
        self._programs = RecordedPrograms(home, "docker", "aws", "notation")
        self.answer = self._programs.answer
        (self.folder / "agent").mkdir()
        (self.folder / "agent/call.py").write_text("")
        (self.folder / "requirements-traces.txt").write_text("")
        (self.folder / ".gitignore").write_text("*.env\n")
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", ".")
        self.git("commit", "--quiet", "--message=First")
        for name in (SCRIPT, ".dockerignore"):
            shutil.copy(ROOT / name, self.folder)
        (self.folder / ".git/info/exclude").write_text(f"{SCRIPT}\n.dockerignore\n")

    @property
    def calls(self) -> list[list[str]]:
        return self._programs.calls

    def run(self, *options: str, **variables: str) -> Finished:
        run = subprocess.run(  # noqa: S603 (our own script)
            [str(self.folder / SCRIPT), *options],
            env={"PATH": self._programs.path, "HOME": str(self._home), **variables},
            cwd=self._home,
            capture_output=True,
            text=True,
            check=False,
        )
        return Finished(run.returncode, run.stdout, run.stderr)

    def git(self, *arguments: str) -> None:
        who = {
            f"GIT_{role}_{name}": value
            for role in ("AUTHOR", "COMMITTER")
            for name, value in (("NAME", _WHO), ("EMAIL", "ada@example.com"), ("DATE", _WHEN))
        }
        subprocess.run(  # noqa: S603 (git, with our own arguments)
            [shutil.which("git") or "git", *arguments],
            env={
                "PATH": os.environ["PATH"], "HOME": str(self._home), "GIT_CONFIG_NOSYSTEM": "1",
                **who,
            },
            cwd=self.folder,
            check=True,
            capture_output=True,
        )  # fmt: skip


def pushed(sources: Sources) -> str:
    """What ECR says of the image: it is not there, and then it is."""
    missing = "echo '(ImageNotFoundException)' >&2; exit 254"
    built = sources.folder.parent / "built"
    return f"[ -e {built} ] || {{ touch {built}; {missing}; }}; echo {DIGEST}"


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


def test_a_dry_run_prints_every_command(sources: Sources) -> None:
    sources.git("remote", "add", "origin", "https://ada:word@git.example.com/voice.git")

    run = sources.run("--repository", REGISTRY, "--push", "--dry-run")

    assert (run.status, run.errors, sources.calls) == (0, "", [])
    expected = f"""\
+ aws ecr describe-repositories --registry-id 123456789012 --repository-names \
twilio-conversation-relay-bedrock-services --region eu-west-1
# There is no such repository:
+ aws ecr create-repository --registry-id 123456789012 --repository-name \
twilio-conversation-relay-bedrock-services --region eu-west-1 --image-tag-mutability IMMUTABLE \
--image-scanning-configuration scanOnPush=true
+ aws ecr get-lifecycle-policy --registry-id 123456789012 --repository-name \
twilio-conversation-relay-bedrock-services --region eu-west-1
# It has no rules for old images:
+ aws ecr put-lifecycle-policy --registry-id 123456789012 --repository-name \
twilio-conversation-relay-bedrock-services --region eu-west-1 --lifecycle-policy-text \
'{RULES}'
+ aws ecr get-login-password --region eu-west-1 | \
docker login --username AWS --password-stdin {REGISTRY}
+ aws ecr describe-images --registry-id 123456789012 --repository-name \
twilio-conversation-relay-bedrock-services --region eu-west-1 --image-ids imageTag={COMMIT[:12]} \
--query 'imageDetails[0].imageDigest' --output text
+ docker buildx inspect voice-agent
# There is no such builder:
+ docker buildx create --name voice-agent --driver docker-container
+ docker buildx inspect --bootstrap voice-agent
# It runs no programs for {_FOREIGN}:
+ docker run --privileged --rm {EMULATORS} --install {_FOREIGN}
+ docker buildx build --builder voice-agent --platform linux/amd64,linux/arm64 --sbom=true \
--provenance=mode=max --build-arg REVISION={COMMIT} --build-arg VERSION={COMMIT[:12]} \
--build-arg CREATED=2026-03-05T17:40:00Z --build-arg SOURCE=https://git.example.com/voice.git \
--tag {REPOSITORY}:{COMMIT[:12]} --output type=registry .
+ aws ecr describe-images --registry-id 123456789012 --repository-name \
twilio-conversation-relay-bedrock-services --region eu-west-1 --image-ids imageTag={COMMIT[:12]} \
--query 'imageDetails[0].imageDigest' --output text

Image:  {REPOSITORY}:{COMMIT[:12]}

sam deploy --template-file cloud-deploy-infra-template.yml --stack-name STACK --region eu-west-1 \\
    --resolve-s3 --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --parameter-overrides \\
    pECRRepoURL={REGISTRY} \\
    pImageName=twilio-conversation-relay-bedrock-services \\
    pImageTag={COMMIT[:12]} \\
    pCpuArchitecture=ARM64

A new stack also needs pPublicWSSEndpoint, pCustomerDomainCertificateArn and \
pTwilioAuthTokenSecretArn.
"""
    assert run.output == expected


def test_without_push_nothing_leaves_the_machine(sources: Sources) -> None:
    run = sources.run("--dry-run", ECR_REPO_URL=REGISTRY, BUILDX_BUILDER="ours")

    assert not any("aws" in words or "login" in words for words in run.words)
    build = run.commands[-1]
    assert build.startswith("docker buildx build --builder ours ")
    assert build.endswith(" --output type=cacheonly .")
    assert "It was not pushed; --push does that.\n" in run.output


def test_what_is_given_is_used(sources: Sources) -> None:
    base = "python:3.13-slim@sha256:" + "0" * 64

    run = sources.run(
        "--repository=" + REGISTRY + "/team/voice",
        "--tag", "1.2.0",
        "--platforms=linux/amd64",
        "--base-image", base,
        "--requirements", "requirements-traces.txt",
        "--dry-run",
    )  # fmt: skip

    build = shlex.split(run.commands[-1])
    assert build[build.index("--platform") + 1] == "linux/amd64"
    assert build[build.index("--tag") + 1] == f"{REGISTRY}/team/voice:1.2.0"
    given = [build[at + 1] for at, word in enumerate(build) if word == "--build-arg"]
    assert given == [
        f"REVISION={COMMIT}",
        "VERSION=1.2.0",
        "CREATED=2026-03-05T17:40:00Z",
        f"BASE_IMAGE={base}",
        "REQUIREMENTS=requirements-traces.txt",
    ]
    assert run.parameters == {
        "pECRRepoURL": REGISTRY, "pImageName": "team/voice", "pImageTag": "1.2.0",
        "pCpuArchitecture": "X86_64",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "host", "region"),
    [
        (["--repository", REGISTRY], REGISTRY, "eu-west-1"),
        (["--repository", _CHINA], _CHINA, "cn-north-1"),
        *(
            (
                ["--account", "123456789012", "--region", region],
                f"123456789012.dkr.ecr.{region}.amazonaws.com{end}",
                region,
            )
            for region, end in (("us-gov-west-1", ""), ("cn-northwest-1", ".cn"))
        ),
    ],
)
def test_the_region_is_that_of_the_registry(
    sources: Sources, given: list[str], host: str, region: str
) -> None:
    run = sources.run(*given, "--push", "--dry-run", AWS_REGION="ap-south-1")

    asked = {each[each.index("--region") + 1] for each in run.words if "--region" in each}
    assert asked == {region}
    assert run.parameters["pECRRepoURL"] == host
    assert f"--stack-name STACK --region {region} " in run.output


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ([], "the registry is missing: give --repository, or --account and --region"),
        (["--account", "123456789012"],
         "the registry is missing: give --repository, or --account and --region"),
        (["--repository", REGISTRY, "--region", "eu-west-1"],
         "give --repository, or --account and --region, not both"),
        (["--repository", "docker.io/library"],
         "the repository must be ACCOUNT.dkr.ecr.REGION.amazonaws.com: docker.io/library"),
        (["--account", "12", "--region", "eu-west-1"], "--account must be twelve digits: 12"),
        (["--account", "123456789012", "--region", "Ireland"],
         "--region must be like us-east-1: Ireland"),
        (["--repository", REGISTRY, "--image", "Voice"],
         "--image must be in lower case, a/b-c: Voice"),
        (["--repository", f"{REGISTRY}/voice", "--image", "agent"],
         "the image has two names: agent and voice"),
        (["--repository", REGISTRY, "--tag", "latest"],
         "--tag must not be latest: a tag that moves cannot be deployed nor rolled back"),
        (["--repository", REGISTRY, "--tag", "a b\nc"],
         "--tag must be letters, digits, dots, dashes and underscores, at most 128: a b c"),
        (["--repository", REGISTRY, "--platforms", "linux/riscv64"],
         "--platforms must be linux/amd64, linux/arm64, or both with a comma: linux/riscv64"),
        (["--repository", REGISTRY, "--base-image", "python:3.13"],
         "--base-image must be the name of an image with @sha256: and its digest: python:3.13"),
        (["--repository", REGISTRY, "--requirements", "requirements-dev.txt"],
         "--requirements must be one of the locked files here: requirements-dev.txt"),
        (["--repository", REGISTRY, "--sign", PROFILE],
         "--sign needs --push: a signature is kept beside the image"),
        (["--repository", REGISTRY, "--push", "--sign", "voice_agent"],
         "--sign must be the ARN of a signing profile: voice_agent"),
        (["--repository"], "--repository needs a value"),
        (["--push", "now"], "unknown option now (see --help)"),
        (["--publish"], "unknown option --publish (see --help)"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_clear_line(sources: Sources, options: list[str], fault: str) -> None:
    assert sources.run(*options) == failed(fault)


@pytest.mark.parametrize("name", ["agent/call.py", "agent/new.py", "agent/local.env"])
def test_what_is_not_committed_is_not_built(sources: Sources, name: str) -> None:
    """Else a revision would be named that is not what runs; on request it is, and says so.

    A file that git does not know, or ignores, gets into the image all the same.
    """
    (sources.folder / name).write_text("changed")

    refused = sources.run("--repository", REGISTRY, "--dry-run")
    allowed = sources.run("--repository", REGISTRY, "--dry-run", "--allow-dirty")

    assert refused == failed(f"not committed: {name}; commit it, or give --allow-dirty")
    assert allowed.parameters["pImageTag"] == f"{COMMIT[:12]}-dirty"
    assert f" REVISION={COMMIT}-dirty " in allowed.commands[-1]


@pytest.mark.parametrize(
    "name", ["samconfig.toml", "run-local.sh", "agent/__pycache__/call.pyc", "agent/tools/a.pyc"]
)
def test_a_new_file_that_is_not_in_the_image_stops_nothing(sources: Sources, name: str) -> None:
    """`sam deploy --guided` writes samconfig.toml, and running the service the caches."""
    (sources.folder / name).parent.mkdir(parents=True, exist_ok=True)
    (sources.folder / name).write_text("")

    run = sources.run("--repository", REGISTRY, "--dry-run")

    assert (run.status, run.errors) == (0, "")
    assert run.parameters["pImageTag"] == COMMIT[:12]


def test_a_changed_file_counts_though_it_is_not_in_the_image(sources: Sources) -> None:
    """The commit would not tell how the image was built."""
    (sources.folder / ".gitignore").write_text("")

    assert sources.run("--repository", REGISTRY, "--dry-run") == failed(
        "not committed: .gitignore; commit it, or give --allow-dirty"
    )


def test_an_archive_of_the_sources_needs_a_tag(sources: Sources) -> None:
    shutil.rmtree(sources.folder / ".git")

    refused = sources.run("--repository", REGISTRY, "--dry-run")
    half = sources.run("--repository", REGISTRY, "--dry-run", "--allow-dirty")
    named = sources.run("--repository", REGISTRY, "--dry-run", "--allow-dirty", "--tag=1.2.0")

    assert refused == failed("no git commit tells what is built; give --tag and --allow-dirty")
    assert half == failed("--tag is missing, and there is no git commit to take it from")
    assert named.status == 0
    assert named.parameters["pImageTag"] == "1.2.0"


def test_it_explains_itself(sources: Sources) -> None:
    script = (ROOT / SCRIPT).read_text(encoding="utf-8")
    cases = re.findall(r"^    (--[a-z-]+(?: \| -{1,2}[a-z-]+)*\))", script, re.MULTILINE)
    known = set(re.findall(r"--[a-z-]+(?=[ |)])", "\n".join(cases)))

    run = sources.run("--help")

    assert run.status == 0
    assert len(known) == 13
    assert {option for option in known if option not in run.output} == set()


def test_what_is_printed_is_what_is_run(sources: Sources) -> None:
    """With a registry that has neither repository nor builder: all that a dry run prints."""
    sources.answer(
        "docker",
        __bootstrap=f"echo Platforms: linux/{_NATIVE}",
        inspect="false",
        login="cat >/dev/null",
    )
    sources.answer(
        "aws",
        describe_repositories="echo '(RepositoryNotFoundException)' >&2; exit 254",
        get_lifecycle_policy="echo '(LifecyclePolicyNotFoundException)' >&2; exit 254",
        get_login_password="echo password",
        describe_images=pushed(sources),
    )
    printed = sources.run("--repository", REGISTRY, "--push", "--dry-run")

    run = sources.run("--repository", REGISTRY, "--push")

    assert (run.status, run.errors) == (0, "")
    assert run.commands == printed.commands
    assert sorted(sources.calls) == sorted(printed.words)
    assert [each for each in sources.calls if each[1] != "login"] == [
        each for each in printed.words if each[1] != "login"
    ], "but for the two sides of a pipe, which start together"
    assert f"\nDigest: {DIGEST}\n" in run.output
    assert run.parameters["pImageTag"] == DIGEST


def test_what_is_there_is_not_made_again(sources: Sources) -> None:
    sources.answer("aws", describe_images=pushed(sources))
    sources.answer("docker", __bootstrap=_RUNS_BOTH)

    run = sources.run("--repository", REGISTRY, "--push")

    assert run.status == 0
    assert sources.calls and sorted(sources.calls) == sorted(run.words)
    made = {"create", "create-repository", "put-lifecycle-policy", "--privileged"}
    assert made & {each[2] for each in sources.calls} == set()


def test_old_images_expire_and_one_that_was_deployed_does_not() -> None:
    """ECR leaves to the first rule what it selects, so the others cannot expire it."""
    deployed, untagged, others = json.loads(RULES)["rules"]

    assert [each["rulePriority"] for each in (deployed, untagged, others)] == [1, 2, 3]
    assert deployed["selection"]["tagPatternList"] == ["deployed-*"]
    assert deployed["selection"]["countNumber"] == 9999
    assert untagged["selection"]["tagStatus"] == "untagged"
    assert others["selection"]["tagPatternList"] == ["*"]
    assert others["selection"]["countNumber"] == 30


def test_only_what_the_builder_cannot_run_is_emulated(sources: Sources) -> None:
    sources.answer("docker", __bootstrap="echo 'Platforms: linux/arm64*, linux/arm/v7'")

    run = sources.run("--repository", REGISTRY, BUILDX_BUILDER="ours")

    assert [each for each in sources.calls if "--privileged" in each] == [
        ["docker", "run", "--privileged", "--rm", EMULATORS, "--install", "amd64"]
    ]
    assert sources.calls == run.words


def test_an_image_is_signed_by_its_digest(sources: Sources) -> None:
    sources.answer("aws", describe_images=pushed(sources))
    sources.answer("docker", __bootstrap=_RUNS_BOTH)

    run = sources.run("--repository", REGISTRY, "--push", "--sign", PROFILE)

    assert run.words[-1] == sources.calls[-1] == [
        "notation", "sign", "--plugin", "com.amazonaws.signer.notation.plugin", "--id", PROFILE,
        f"{REPOSITORY}@{DIGEST}",
    ]  # fmt: skip


def test_an_image_that_cannot_be_signed_is_not_deployed(sources: Sources) -> None:
    sources.answer("aws", describe_images=pushed(sources))
    sources.answer("docker", __bootstrap=_RUNS_BOTH)
    sources.answer("notation", sign="echo 'Error: signature generation failed' >&2; exit 1")

    run = sources.run("--repository", REGISTRY, "--push", SIGNING_PROFILE_ARN=PROFILE)

    assert (run.status, run.parameters) == (1, {})


def test_an_image_of_this_commit_that_is_there_is_not_built_again(sources: Sources) -> None:
    """So that a pipeline can run again; what options make differently is built, and ECR decides."""
    sources.answer("aws", describe_images=f"echo {DIGEST}")
    sources.answer("docker", __bootstrap=_RUNS_BOTH)

    again = sources.run("--repository", REGISTRY, "--push")
    calls = list(sources.calls)
    other = sources.run("--repository", REGISTRY, "--push", "--tag", "1.2.0")

    assert again.parameters["pImageTag"] == DIGEST
    assert not any("build" in each for each in calls)
    assert any("build" in each for each in sources.calls)
    assert other.status == 0


def test_a_registry_that_cannot_be_asked_is_not_pushed_to(sources: Sources) -> None:
    sources.answer("aws", describe_images="echo '(AccessDeniedException)' >&2; exit 254")

    run = sources.run("--repository", REGISTRY, "--push")

    assert (run.status, run.errors) == (1, "(AccessDeniedException)\n")
    assert not any("build" in each for each in sources.calls)


def test_an_account_that_refuses_is_not_asked_for_more(sources: Sources) -> None:
    """Without credentials no repository is made: what AWS says is passed on."""
    sources.answer("aws", describe_repositories="echo 'Unable to locate credentials' >&2; exit 253")

    run = sources.run("--repository", REGISTRY, "--push")

    assert (run.status, run.errors) == (1, "Unable to locate credentials\n")
    assert [each[:3] for each in sources.calls] == [["aws", "ecr", "describe-repositories"]]


def test_a_build_that_fails_is_not_deployed(sources: Sources) -> None:
    """No parameters are printed that name an image which is not there."""
    sources.answer("docker", __bootstrap=_RUNS_BOTH, build="exit 3")

    run = sources.run("--repository", REGISTRY, BUILDX_BUILDER="ours")

    assert run.status == 3
    assert run.parameters == {}


@pytest.mark.needs("linters")
def test_its_parameters_are_those_of_the_template(sources: Sources) -> None:
    known = load(CLOUD)["Parameters"]

    run = sources.run("--repository", REGISTRY, "--dry-run")

    for name, value in run.parameters.items():
        pattern, values = known[name].get("AllowedPattern"), known[name].get("AllowedValues")
        assert re.fullmatch(pattern, value) if pattern else value in values, name
    needed = {name for name, parameter in known.items() if "Default" not in parameter}
    named = set(re.findall(r"\bp[A-Z]\w+", run.output))
    assert named == needed | {"pImageName", "pCpuArchitecture"}
    assert run.parameters["pImageName"] == known["pImageName"]["Default"]
