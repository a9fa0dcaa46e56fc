from __future__ import annotations

import re
from importlib import resources

import pytest

from ci.package.tools_container import failed


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("An error occurred (ExpiredToken) when calling PutObject", "renew the credentials"),
        ("Unable to locate credentials. You can configure", "renew the credentials"),
        ("S3 Bucket does not exist. Execute the command", "create the bucket"),
        ("An error occurred (AccessDenied) when calling PutObject", "s3:PutObject"),
        ("An error occurred (PermanentRedirect)", "of the stack's region"),
        ("Something else", "mend what it names"),
    ],
)
def test_what_the_aws_cli_says_and_what_to_do(said: str, fix: str) -> None:
    error = failed("cfn/one", "artifacts", f"\rUploading to abc\r\n\n{said}\n")
    assert error.exit_code == 1
    assert error.where == "cfn/one"
    assert f"the AWS CLI said:\n    Uploading to abc\n    {said}" in error.what
    assert fix in error.fix


def test_every_package_of_the_tools_is_pinned_by_hash() -> None:
    text = (resources.files("ci.package") / "tools/requirements.txt").read_text()
    specs = re.split(r"(?<!\\)\n", re.sub(r"#.*\n", "", text).strip())
    assert "awscli" in text
    for spec in specs:
        assert re.fullmatch(r"[\w.-]+==[\w.]+( \\\n {4}--hash=sha256:[0-9a-f]{64})+", spec), spec
