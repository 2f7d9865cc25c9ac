"""CloudFormation templates against CloudFormation's own schemas."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def assert_no_finding(template: Path) -> None:
    """See that cfn-lint has nothing to say of a template, be it informational."""
    done = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--format", "json", "--non-zero-exit-code", "informational",
         "--include-checks", "I", "--", str(template)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout) == [], done.stdout
    assert done.returncode == 0, done.stderr
