"""Runs the whole of scim2-tester against a server and prints what is wrong.

BASE_URL and TOKEN come from the environment. Exit code 1 when a check ends in an error, or when
fewer checks ran than the suite is known to have.
"""

import collections
import os
import sys

from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import check_server

LEAST_CHECKS = 120


def main() -> int:
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    with Client(base_url=os.environ["BASE_URL"], headers=headers, trust_env=False) as http:
        results = check_server(SyncSCIMClient(http))
    counts = collections.Counter(result.status.name for result in results)
    for result in results:
        if result.status.name not in ("SUCCESS", "COMPLIANT", "ACCEPTABLE", "SKIPPED"):
            print(f"{result.status.name}: {result.resource_type or '-'}: {result.title}: {result.reason}")
    print(f"scim2-tester: {len(results)} checks: " + ", ".join(f"{n} {name}" for name, n in sorted(counts.items())))
    bad = counts["ERROR"] + counts["CRITICAL"]
    return 1 if bad or len(results) < LEAST_CHECKS else 0


if __name__ == "__main__":
    sys.exit(main())
