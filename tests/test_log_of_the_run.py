"""After everything else: what was logged holds no password. Every fixture's password has one of these marks."""

from tests.support import runlog

MARKS = ("secret-", "Secret", "sample-password", "0ther-", "hunter", "s3cret")


def test_no_password_in_the_log() -> None:
    text = runlog.path().read_text()
    found = [line[:200] for line in text.splitlines() if any(mark in line for mark in MARKS)]
    assert not found
