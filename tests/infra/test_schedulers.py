"""Templates for schedulers: what they promise, and that they call what there is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from stillframe.build.publish import GRACE_SECONDS
from stillframe.build.shard import COUNT_VARIABLE, Shard
from stillframe.cli.build import build
from tests.support.cfn_lint import assert_no_finding
from tests.support.places import REPOSITORY
from tests.support.studies import write_studies
from tests.support.trees import build_tree, contents

INFRA = REPOSITORY / "infra"
BATCH = INFRA / "batch.yaml"


def parsed(arguments: list[str]) -> dict[str, Any]:
    """The options of a call of `stillframe`, as the command line takes them."""
    assert arguments[0] == "build"
    return build.make_context("build", arguments[1:]).params


@pytest.fixture(scope="module")
def batch() -> dict[str, Any]:
    """The template as plain values; cfn-lint is what reads it."""
    if find_spec("cfnlint") is None:
        pytest.skip("cfn-lint is not installed")
    from cfnlint.decode import decode

    read, errors = decode(str(BATCH))
    assert not errors
    plain: dict[str, Any] = json.loads(json.dumps(read))
    return plain


@pytest.mark.slow
@pytest.mark.skipif(find_spec("cfnlint") is None, reason="cfn-lint is not installed")
def test_cfn_lint_finds_nothing_in_the_template_of_batch() -> None:
    assert_no_finding(BATCH)


def test_batch_calls_a_build_of_its_shard(batch: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BATCH_JOB_ARRAY_INDEX", "2")
    monkeypatch.setenv("AWS_BATCH_JOB_ARRAY_SIZE", "16")
    job = batch["Resources"]["Job"]["Properties"]
    given = {"manifest": "s3://jobs/m.csv", "destination": "s3://a/dicomweb", "report": "s3://jobs/run-1/{shard}.json"}
    assert set(job["Parameters"]) == set(given)
    assert job["Parameters"]["report"] == {"Fn::Sub": "${ReportPrefix}/{shard}.json"}
    *command, unsigned = job["ContainerProperties"]["Command"]
    assert unsigned == {"Fn::If": ["Signs", {"Ref": "AWS::NoValue"}, "--source-no-sign-request"]}
    words = [given[word.removeprefix("Ref::")] if word.startswith("Ref::") else word for word in command]
    options = parsed([*words, "--source-no-sign-request"])
    assert options["manifests"] == ("s3://jobs/m.csv",)
    assert options["locations"] == ("s3://a/dicomweb",)
    assert options["shard"] == Shard(3, 16)


def test_batch_runs_again_what_the_next_attempt_can_finish(batch: dict[str, Any]) -> None:
    """The first rule that fits counts; what fits none is tried again (API reference, EvaluateOnExit, at most five)."""
    rules = batch["Resources"]["Job"]["Properties"]["RetryStrategy"]["EvaluateOnExit"]
    assert len(rules) <= 5
    assert rules[0] == {"OnExitCode": "2", "Action": "EXIT"}
    assert {"OnExitCode": "1", "Action": "RETRY"} in rules
    assert {"OnStatusReason": "Host EC2*", "Action": "RETRY"} in rules
    assert rules[-1] == {"OnReason": "*", "Action": "EXIT"}


def test_a_shard_on_batch_may_do_what_it_needs(batch: dict[str, Any]) -> None:
    role = batch["Resources"]["JobRole"]["Properties"]
    assert role["ManagedPolicyArns"] == [{"Ref": "BuildPolicyArn"}]
    statements = role["Policies"][0]["PolicyDocument"]["Statement"]
    own, seen, sources, kms = statements
    assert own["Action"] == ["s3:GetObject", "s3:PutObject"]
    assert own["Resource"] == {"Fn::Sub": "arn:${AWS::Partition}:s3:::${JobBucket}/${JobPrefix}/*"}
    assert (seen["Action"], seen["Resource"]) == (
        "s3:ListBucket",
        {"Fn::Sub": "arn:${AWS::Partition}:s3:::${JobBucket}"},
    )
    assert sources["Fn::If"][0] == "Signs"
    assert sources["Fn::If"][1]["Action"] == ["s3:GetObject", "s3:ListBucket"]
    assert kms["Fn::If"][0] == "HasKms"
    for name in ("JobRole", "ExecutionRole"):
        (statement,) = batch["Resources"][name]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
        assert "aws:SourceAccount" in statement["Condition"]["StringEquals"]
    assert "SecurityGroupIngress" not in batch["Resources"]["SecurityGroup"]["Properties"]


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    """The Job of Kubernetes."""
    yaml = pytest.importorskip("yaml", reason="PyYAML, which cfn-lint brings along, is not installed")
    read: dict[str, Any] = yaml.safe_load((INFRA / "kubernetes-job.yaml").read_text())
    assert (read["apiVersion"], read["kind"]) == ("batch/v1", "Job")
    return read


def test_kubernetes_calls_a_build_of_its_shard(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert spec["completionMode"] == "Indexed"
    assert container["env"] == [{"name": COUNT_VARIABLE, "value": str(spec["completions"])}]
    assert "command" not in container, "the image's entry point is stillframe"
    monkeypatch.setenv("JOB_COMPLETION_INDEX", str(spec["completions"] - 1))
    monkeypatch.setenv(COUNT_VARIABLE, container["env"][0]["value"])
    options = parsed(container["args"])
    assert options["shard"] == Shard(spec["completions"], spec["completions"])
    assert options["locations"] == ("s3://my-archive/dicomweb",)
    assert options["source_no_sign_request"]
    assert "{shard}" in str(options["report_file"])


def test_kubernetes_gives_a_shard_time_and_tries_again_what_may_help(job: dict[str, Any]) -> None:
    spec = job["spec"]
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never", "podFailurePolicy goes with no other"
    assert pod["terminationGracePeriodSeconds"] >= 2 * GRACE_SECONDS
    ignored, failed = spec["podFailurePolicy"]["rules"]
    assert (ignored["action"], ignored["onPodConditions"]) == ("Ignore", [{"type": "DisruptionTarget"}])
    assert (failed["action"], failed["onExitCodes"]["values"]) == ("FailIndex", [2])
    assert failed["onExitCodes"]["containerName"] == pod["containers"][0]["name"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False
    mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def run_script(folder: Path, task: int, tasks: int, **more: str) -> subprocess.CompletedProcess[str]:
    """A task of an array of Slurm, in the environment that sbatch makes."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": str(tasks), "SLURM_ARRAY_TASK_MIN": "1",
        "SLURM_ARRAY_TASK_MAX": str(tasks), "SLURM_ARRAY_TASK_STEP": "1", "SLURM_CPUS_PER_TASK": "0",
        "SOURCE": str(folder / "in"), "DEST": str(folder / "tree"), **more,
    }  # fmt: skip
    script = ["bash", str(INFRA / "slurm.sh")]
    return subprocess.run(script, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_the_script_of_slurm_builds_its_shard(tmp_path: Path) -> None:
    write_studies(tmp_path / "in", 5, 1, 1)
    for task in (1, 2):
        done = run_script(tmp_path, task, 2)
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "reports/run-1").iterdir()) == ["1.json", "2.json"]
    build_tree(tmp_path / "same", tmp_path / "in")
    assert contents(tmp_path / "tree") == contents(tmp_path / "same")


def test_slurm_asks_the_build_itself_to_stop_in_time() -> None:
    text = (INFRA / "slurm.sh").read_text()
    (seconds,) = re.findall(r"^#SBATCH --signal=B:TERM@(\d+)$", text, re.MULTILINE)
    assert int(seconds) >= 2 * GRACE_SECONDS
    assert re.search(r"^exec stillframe build ", text, re.MULTILINE), "the shell would wait, and not pass it on"
    assert "#SBATCH --requeue" in text


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile; one that goes on over several lines is one."""
    lines = [line for line in (INFRA / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def test_the_image_is_of_the_wheel_and_runs_as_nobody_special() -> None:
    by_name: dict[str, list[str]] = {}
    for name, rest in instructions():
        by_name.setdefault(name, []).append(rest)
    assert set(by_name) == {"FROM", "ARG", "COPY", "RUN", "USER", "WORKDIR", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
    (base,) = by_name["FROM"]
    assert re.fullmatch(r"python:3\.\d+-slim", base), "no host of a registry, and a version"
    assert by_name["ARG"] == ['EXTRA=""'], "no more than the package needs, unless somebody asks"
    assert json.loads(by_name["ENTRYPOINT"][0]) == ["stillframe"], "as a list: a shell would take SIGTERM"
    assert by_name["STOPSIGNAL"] == ["SIGTERM"]
    (user,) = by_name["USER"]
    assert int(user) > 0
    assert [name for name, _ in instructions()].index("USER") > [name for name, _ in instructions()].index("RUN")
    (copied,) = by_name["COPY"]
    assert copied.split()[0] == "stillframe-*.whl"


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed")
def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = subprocess.run(["hadolint", INFRA / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
