"""Run all tests: print the ten slowest files, and name what was skipped and why.

In CI (``CI=true``) a skip is a failure: what CI counts on must run there.
"""

import os
import sys
from collections import defaultdict

import pytest


class Times:
    """Adds up what each file takes, and keeps what was skipped."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid.partition("::")[0]] += report.duration
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.skipped.append(f"{report.nodeid}: {reason}")


def main() -> int:
    times = Times()
    code = int(pytest.main(sys.argv[1:], plugins=[times]))
    print("\nThe ten slowest files:")
    for name, seconds in sorted(times.seconds.items(), key=lambda item: -item[1])[:10]:
        print(f"  {seconds:7.1f} s  {name}")
    for line in times.skipped:
        print(f"skipped: {line}")
    if times.skipped and os.environ.get("CI") == "true":
        print("In CI nothing may be skipped.")
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
