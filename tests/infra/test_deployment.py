"""The template as far as moto deploys it: its parameters, conditions and functions, the buckets, and the job's rights.

moto makes buckets and managed policies of a stack. What it leaves out of a bucket is put there as the template has it;
bucket policies and CloudFront it does not have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.core import set_initial_no_auth_action_count

from stillframe.archive.delete import Scope
from stillframe.store.base import KeptVersions
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket, Checksums, S3Settings, client_of, parse_location
from tests.support.archives import publish, remove
from tests.support.dicom_files import STUDY, image, write
from tests.support.moto_server import run_moto
from tests.support.trees import objects

_KNOWN = {"AWS::S3::Bucket", "AWS::IAM::ManagedPolicy"}
_KEY = (
    "arn:aws:kms:us-east-1:123456789012:key/1"  # without it, moto does not take the policy: it keeps AWS::NoValue in it
)


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "administrator")
    with run_moto() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield lambda service: boto3.client(service, region_name="us-east-1")


def deploy(clients: Callable[[str], Any], template: dict[str, Any], **parameters: str) -> dict[str, str]:
    """Deploy what moto knows; the stack's outputs, and the physical names of its resources."""
    resources = {name: entry for name, entry in template["Resources"].items() if entry["Type"] in _KNOWN}
    outputs = {name: template["Outputs"][name] for name in ("Destination", "BucketName", "BuildPolicyArn")}
    distribution = {"Type": "String", "Default": "EDFDVBD6EXAMPLE"}
    part = template | {"Resources": resources, "Outputs": outputs}
    part["Parameters"] = template["Parameters"] | {"Distribution": distribution}
    del part["Rules"], part["Metadata"]
    given = {"KmsKeyArn": _KEY, **parameters}
    stacks = clients("cloudformation")
    stacks.create_stack(
        StackName="archive",
        TemplateBody=json.dumps(part),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
    )
    described = stacks.describe_stack_resources(StackName="archive")["StackResources"]
    made = [entry for entry in described if "PhysicalResourceId" in entry]  # not what a condition leaves out
    assert {entry["ResourceStatus"] for entry in made} == {"CREATE_COMPLETE"}
    told = stacks.describe_stacks(StackName="archive")["Stacks"][0]["Outputs"]
    named = {entry["LogicalResourceId"]: entry["PhysicalResourceId"] for entry in made}
    return named | {entry["OutputKey"]: entry["OutputValue"] for entry in told}


def keep_versions(clients: Callable[[str], Any], template: dict[str, Any], bucket: str) -> None:
    """What the template's defaults say of versions, in the words of the S3 protocol."""
    defaults = {name: entry.get("Default") for name, entry in template["Parameters"].items()}
    properties = template["Resources"]["Bucket"]["Properties"]
    status = defaults[properties["VersioningConfiguration"]["Status"]["Ref"]]
    (rule,) = [rule for rule in properties["LifecycleConfiguration"]["Rules"] if "NoncurrentVersionExpiration" in rule]
    days = defaults[rule["NoncurrentVersionExpiration"]["NoncurrentDays"]["Ref"]]
    clients("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
    clients("s3").put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={
            "Rules": [{"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": ""},
                       "NoncurrentVersionExpiration": {"NoncurrentDays": int(days)}}]
        },
    )  # fmt: skip


@pytest.mark.slow
def test_a_job_publishes_and_deletes_with_the_rights_of_the_stack_alone(
    clients: Callable[[str], Any], template: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ClientError

    stack = deploy(clients, template)
    keep_versions(clients, template, stack["BucketName"])
    users = clients("iam")
    users.create_user(UserName="job")
    users.attach_user_policy(UserName="job", PolicyArn=stack["BuildPolicyArn"])
    key = users.create_access_key(UserName="job")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    name, prefix = parse_location(stack["Destination"])
    # Objects are deleted one by one: of a request for many, moto asks for the right to delete the bucket.
    # Clients are kept by their settings, so these are unlike any others.
    settings = S3Settings(region="us-east-1", checksums=Checksums.REQUIRED, patience=float(id(object()) % 1000))
    store = S3Store(Bucket(name, settings), prefix)
    write(tmp_path, "1.dcm", image(1))

    @set_initial_no_auth_action_count(0)
    def work() -> None:
        assert publish(store, tmp_path).exit_code == 0
        report = remove(store, Scope(STUDY))
        assert (report.studies, report.instances) == (1, 1)
        assert report.versions == KeptVersions(None)  # it may not read the lifecycle's rules
        assert list(objects(store)) == ["studies"]
        client = client_of(settings)
        forbidden: list[tuple[str, dict[str, Any]]] = [
            ("get_object", {"Key": "other/secret"}), ("put_object", {"Key": "other/secret", "Body": b""}),
            ("delete_object", {"Key": "dicomwebs/secret"}), ("list_object_versions", {}), ("get_bucket_policy", {}),
            ("put_bucket_policy", {"Policy": "{}"}), ("delete_bucket", {}),
            ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Suspended"}}),
            ("delete_object", {"Key": "dicomweb/studies", "VersionId": "1"}),
        ]  # fmt: skip
        for method, arguments in forbidden:
            with pytest.raises(ClientError, match="AccessDenied"):
                getattr(client, method)(Bucket=name, **arguments)

    work()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "administrator")
    versions = clients("s3").list_object_versions(Bucket=name, Prefix=f"{prefix}/studies/{STUDY}/")
    assert {entry["Key"] for entry in versions["Versions"]} == {entry["Key"] for entry in versions["DeleteMarkers"]}


@pytest.mark.slow
def test_logs_and_keys_are_made_where_they_are_asked_for(
    clients: Callable[[str], Any], template: dict[str, Any]
) -> None:
    stack = deploy(clients, template, AccessLogs="Enabled", KeyPrefix="")
    storage = clients("s3")
    assert {entry["Name"] for entry in storage.list_buckets()["Buckets"]} == {stack["Bucket"], stack["LogBucket"]}
    assert stack["Destination"] == f"s3://{stack['BucketName']}"

    def encryption(bucket: str) -> dict[str, str]:
        (rule,) = storage.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        found: dict[str, str] = rule["ApplyServerSideEncryptionByDefault"]
        return found

    assert encryption(stack["Bucket"]) == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": _KEY}
    assert encryption(stack["LogBucket"]) == {"SSEAlgorithm": "AES256"}


@pytest.mark.slow
def test_no_logs_unless_told(clients: Callable[[str], Any], template: dict[str, Any]) -> None:
    stack = deploy(clients, template)
    assert "LogBucket" not in stack
    assert [entry["Name"] for entry in clients("s3").list_buckets()["Buckets"]] == [stack["Bucket"]]
    assert stack["Destination"] == f"s3://{stack['BucketName']}/dicomweb"
