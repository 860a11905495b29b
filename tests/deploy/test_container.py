"""deploy/Containerfile, as far as it can be looked at without an engine, and what its script says without one."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONTAINERFILE = (ROOT / "deploy" / "Containerfile").read_text()


def test_without_an_engine_the_script_says_so() -> None:
    done = subprocess.run(
        [ROOT / "deploy" / "container.sh"],
        env=os.environ | {"ENGINE": "no-such-engine"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("No container engine works here: ")
    assert done.stderr.count("\n") == 1


def test_the_image_gets_what_it_copies() -> None:
    """Whatever is copied from the tree is let through by .dockerignore, and nothing else is."""
    copied = {
        name for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", CONTAINERFILE) for name in line.split()[:-1]
    }
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert "*" in lines
    assert all((ROOT / name).exists() for name in copied)


def test_the_check_of_health_works() -> None:
    """The command of HEALTHCHECK ends with 0 for an answer of 200 alone."""
    from tests.deploy.proxies import Recorder

    found = re.search(r'CMD \["python", "-c", "(.*)"\]', CONTAINERFILE)
    assert found
    for status, code in (("200 OK", 0), ("503 Service Unavailable", 1)):
        with Recorder(status) as pages:
            where = {
                "KAZOO_PROVISIONER_HEALTH": f"http://127.0.0.1:{pages.port}/healthz",
                "http_proxy": "http://127.0.0.1:9",
            }
            done = subprocess.run(
                [sys.executable, "-c", found[1]], env=os.environ | where, capture_output=True, check=False
            )
            assert done.returncode == code
            assert [asked.target for asked in pages.asked] == ["/healthz"]
