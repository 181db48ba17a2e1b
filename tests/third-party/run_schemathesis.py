"""Runs schemathesis against the admin API, by the description that the server gives of itself.

BASE_URL and TOKEN come from the environment. Exit code 1 when a check fails.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

# A long poll waits as long as it is told; the fuzzer would tell it to wait most of the time.
HOOKS = '''
import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    if str((case.query or {}).get("wait", "")).isdigit() and int(case.query["wait"]) <= 30:
        case.query["wait"] = 0
'''

CONFIG = '''
[generation]
max-examples = 25
deterministic = true

[phases.stateful]
enabled = false
'''


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        scratch = pathlib.Path(directory)
        (scratch / "hooks.py").write_text(HOOKS)
        (scratch / "schemathesis.toml").write_text(CONFIG)
        base = os.environ["BASE_URL"]
        command = [
            sys.executable, "-m", "schemathesis.cli",
            "--config-file", str(scratch / "schemathesis.toml"),
            "run", f"{base}/api/v1/openapi.json", "--url", base,
            "--header", f"Authorization: Bearer {os.environ['TOKEN']}",
            "--no-color", "--suppress-health-check", "all",
        ]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": directory, "NO_PROXY": "*"}
        return subprocess.run(command, env=environment, cwd=directory).returncode


if __name__ == "__main__":
    sys.exit(main())
