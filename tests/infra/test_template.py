"""The CloudFormation template: linted, and what it promises."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from infra.embed import FOLDER, TEMPLATE, embed
from tests.support.cfn_lint import assert_no_finding

pytestmark = pytest.mark.skipif(find_spec("cfnlint") is None, reason="cfn-lint is not installed")


def properties(template: dict[str, Any], name: str) -> Any:
    return template["Resources"][name]["Properties"]


@pytest.mark.slow
def test_cfn_lint_finds_nothing() -> None:
    assert_no_finding(TEMPLATE)


def test_the_function_in_the_template_is_edge_js(template: dict[str, Any]) -> None:
    code, values = properties(template, "EdgeFunction")["FunctionCode"]["Fn::Sub"]
    source = (FOLDER / "edge.js").read_text()
    assert code == source, "python infra/embed.py puts edge.js into the template"
    assert embed(TEMPLATE.read_text(), source) == TEMPLATE.read_text()
    filled_in = set(re.findall(r"\$\{(\w+)\}", source))
    assert filled_in == {*values, "ServicePath", "KeyPrefix"}
    assert {"ServicePath", "KeyPrefix"} <= set(template["Parameters"])


def test_a_template_without_a_place_for_the_code_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the code"):
        embed("Resources: {}\n", "code")


def test_the_bucket_is_private_and_outlives_its_stack(template: dict[str, Any]) -> None:
    bucket = template["Resources"]["Bucket"]
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    policy = template["Resources"]["BucketPolicy"]
    assert policy["DeletionPolicy"] == policy["UpdateReplacePolicy"] == "Retain"
    statements = properties(template, "BucketPolicy")["PolicyDocument"]["Statement"]
    allowed = [statement for statement in statements if statement["Effect"] == "Allow"]
    assert {statement["Action"] for statement in allowed} == {"s3:GetObject", "s3:ListBucket"}
    for statement in allowed:
        assert statement["Principal"] == {"Service": "cloudfront.amazonaws.com"}
        assert "AWS:SourceArn" in statement["Condition"]["StringEquals"]


def test_what_is_replaced_or_deleted_is_kept_for_a_week_unless_told(template: dict[str, Any]) -> None:
    assert template["Parameters"]["Versioning"]["Default"] == "Enabled"
    assert template["Parameters"]["NoncurrentDays"]["Default"] == 7
    rules = properties(template, "Bucket")["LifecycleConfiguration"]["Rules"]
    (rule,) = [rule for rule in rules if "NoncurrentVersionExpiration" in rule]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": {"Ref": "NoncurrentDays"}}
    assert rule["Status"] == "Enabled"
    assert not {"Filter", "Prefix"} & set(rule)


def test_viewers_come_by_tls_1_2(template: dict[str, Any]) -> None:
    distribution = properties(template, "Distribution")["DistributionConfig"]
    condition, named, other = distribution["ViewerCertificate"]["Fn::If"]
    assert (condition, named["MinimumProtocolVersion"]) == ("HasDomain", "TLSv1.2_2021")
    assert other == {"CloudFrontDefaultCertificate": True}
    forwarded = properties(template, "ViewerTls")["OriginRequestPolicyConfig"]
    assert distribution["DefaultCacheBehavior"]["OriginRequestPolicyId"] == {"Ref": "ViewerTls"}
    assert forwarded["HeadersConfig"] == {"HeaderBehavior": "whitelist", "Headers": ["CloudFront-Viewer-TLS"]}
    assert forwarded["CookiesConfig"] == {"CookieBehavior": "none"}
    assert forwarded["QueryStringsConfig"] == {"QueryStringBehavior": "none"}


def test_one_parameter_keeps_logs_in_a_bucket_of_their_own(template: dict[str, Any]) -> None:
    assert template["Parameters"]["AccessLogs"]["Default"] == "Disabled"
    assert {name for name, entry in template["Resources"].items() if entry.get("Condition") == "MakesLogBucket"} == {
        "LogBucket", "LogBucketPolicy",
    }  # fmt: skip
    bucket = properties(template, "LogBucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == {"Ref": "LogDays"}
    logging = properties(template, "Distribution")["DistributionConfig"]["Logging"]["Fn::If"]
    assert logging[0] == "HasLogs"
    assert logging[1]["Bucket"]["Fn::If"][2] == {"Fn::GetAtt": ["LogBucket", "DomainName"]}
    assert logging[1]["IncludeCookies"] is False
    assert properties(template, "Bucket")["LoggingConfiguration"]["Fn::If"][1]["DestinationBucketName"] == {
        "Ref": "LogBucket"
    }
    (allowed,) = [
        statement for statement in properties(template, "LogBucketPolicy")["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]  # fmt: skip
    assert (allowed["Action"], allowed["Principal"]) == ("s3:PutObject", {"Service": "logging.s3.amazonaws.com"})
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_what_a_scanner_is_told_to_pass_over_is_explained(template: dict[str, Any]) -> None:
    entries = [
        entry
        for resource in template["Resources"].values()
        for entry in resource.get("Metadata", {}).get("checkov", {}).get("skip", ())
    ]
    assert all(entry["comment"] for entry in entries)
    page = (FOLDER.parent / "docs/explanation/security.md").read_text()
    assert {entry["id"] for entry in entries} == set(
        re.findall(r"^\| (CKV_AWS_[0-9]+) .*answered:", page, re.MULTILINE)
    )


def test_frames_and_cache_are_left_alone(template: dict[str, Any]) -> None:
    behaviour = properties(template, "Distribution")["DistributionConfig"]["DefaultCacheBehavior"]
    assert behaviour["Compress"] is False
    assert set(behaviour["AllowedMethods"]) == {"GET", "HEAD", "OPTIONS"}
    assert "CacheBehaviors" not in properties(template, "Distribution")["DistributionConfig"]
    policy = properties(template, "CachePolicy")["CachePolicyConfig"]
    assert (policy["MinTTL"], policy["DefaultTTL"], policy["MaxTTL"]) == (0, 0, 31536000)
    key = policy["ParametersInCacheKeyAndForwardedToOrigin"]
    assert not key["EnableAcceptEncodingGzip"]
    assert not key["EnableAcceptEncodingBrotli"]
    assert {key[part][behavior] for part, behavior in (
        ("CookiesConfig", "CookieBehavior"), ("HeadersConfig", "HeaderBehavior"),
        ("QueryStringsConfig", "QueryStringBehavior"),
    )} == {"none"}  # fmt: skip


def test_function_and_headers_policy_say_the_same(template: dict[str, Any]) -> None:
    source = (FOLDER / "edge.js").read_text()
    policy = properties(template, "HeadersPolicy")["ResponseHeadersPolicyConfig"]
    cors = policy["CorsConfig"]
    assert f"'{', '.join(cors['AccessControlExposeHeaders']['Items'])}'" in source
    assert f"'{', '.join(cors['AccessControlAllowMethods']['Items'])}'" in source
    assert f"'{cors['AccessControlMaxAgeSec']}'" in source
    named, every = cors["AccessControlAllowHeaders"]["Items"]["Fn::If"][1:]
    assert f"'{', '.join(named)}'" in source
    assert every == ["*"]
    assert f"max-age={policy['SecurityHeadersConfig']['StrictTransportSecurity']['AccessControlMaxAgeSec']}" in source


def test_a_job_may_do_what_it_must_and_no_more(template: dict[str, Any]) -> None:
    statements = properties(template, "BuildPolicy")["PolicyDocument"]["Statement"]
    plain = [statement.get("Fn::If", [None, statement])[1] for statement in statements]
    actions = {
        action for statement in plain
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }  # fmt: skip
    assert actions == {
        "s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload",
        "cloudfront:CreateInvalidation", "cloudfront:GetInvalidation", "kms:GenerateDataKey", "kms:Decrypt",
    }  # fmt: skip
    assert not [statement for statement in plain if statement["Resource"] == "*"]


def test_grants_go_with_named_origins(template: dict[str, Any]) -> None:
    behaviour = properties(template, "Distribution")["DistributionConfig"]["DefaultCacheBehavior"]
    assert behaviour["TrustedKeyGroups"]["Fn::If"][:2] == ["HasKeys", [{"Ref": "GrantKeys"}]]
    (assertion,) = template["Rules"]["GrantsNeedOrigins"]["Assertions"]
    assert assertion["Assert"] == {"Fn::Not": [{"Fn::Contains": [{"Ref": "AllowedOrigins"}, "*"]}]}


def test_parameters_and_their_defaults_are_documented(template: dict[str, Any]) -> None:
    page = (FOLDER.parent / "docs/how-to/host-on-cloudfront.md").read_text()
    rows = re.findall(r"^\| ((?:`[A-Z]\w+`(?:, )?)+) \|(.*?)\|", page, re.MULTILINE)
    documented = {name: default.strip(" `") for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(documented) == set(template["Parameters"])
    for name, default in documented.items():
        assert not default or default == str(template["Parameters"][name]["Default"]), name


def test_a_public_key_is_a_parameter(template: dict[str, Any]) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    for name in ("GrantPublicKeyA", "GrantPublicKeyB"):
        pattern = template["Parameters"][name]["AllowedPattern"]
        for text in (pem, pem.rstrip(), ""):
            assert re.fullmatch(pattern, text)
        assert not re.fullmatch(pattern, pem.replace("PUBLIC", "PRIVATE"))


def test_what_parameters_of_urls_and_keys_may_be(template: dict[str, Any]) -> None:
    patterns = {name: entry.get("AllowedPattern", "") for name, entry in template["Parameters"].items()}
    for name, good, bad in (
        ("ServicePath", ("", "/dicomweb", "/a/b-c"), ("dicomweb", "/a/", "/", "/a'b", "/a b", "/${x}")),
        ("KeyPrefix", ("", "dicomweb", "a/b.c"), ("/a", "a/", "..", "a/../b", "a'b", "a//b")),
        (
            "AllowedOrigins",
            ("*", "https://viewer.example.org", "http://localhost:3000"),
            ("https://a/", "https://*.a", "x'"),
        ),
    ):
        assert all(re.fullmatch(patterns[name], text) for text in good), name
        assert not any(re.fullmatch(patterns[name], text) for text in bad), name
