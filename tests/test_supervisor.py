"""What the supervisor opens for its children: sockets and descriptors."""

import resource
import socket
from typing import Any

import pytest
import structlog.testing

from kazoo_provisioner.settings import WebSettings
from kazoo_provisioner.supervisor import open_sockets, raise_descriptors
from kazoo_provisioner.web.server import SPARE
from kazoo_provisioner.yamlfile import SettingsError


def test_sockets() -> None:
    """They listen, and children inherit them."""
    opened = open_sockets(("127.0.0.1:0", "[::1]:0", "localhost:0"))
    try:
        assert [one.family for one in opened] == [socket.AF_INET, socket.AF_INET6, socket.AF_INET]
        for one in opened:
            assert one.get_inheritable()
            with socket.create_connection(one.getsockname()[:2]):
                pass
        taken = opened[0].getsockname()[1]
        with pytest.raises(
            SettingsError, match=rf"web\.listen: cannot listen on 127\.0\.0\.1:{taken}: Address already"
        ):
            open_sockets(("127.0.0.1:0", f"127.0.0.1:{taken}"))
    finally:
        for one in opened:
            one.close()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "8080",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "ä..y:0",
        "x\x00:0",
        "[::1]",
    ],
)
def test_what_is_no_address(address: str) -> None:
    """A number alone would be a port on all addresses: that one has to say."""
    with pytest.raises(SettingsError, match=r"web\.status: .* is not host:port"):
        open_sockets((address,), "web.status")


@pytest.mark.parametrize("address", ["192.0.2.1:0", "x..y:0"])
def test_an_address_that_is_not_ours(address: str) -> None:
    with pytest.raises(SettingsError, match=rf"web\.listen: cannot listen on {address}: ."):
        open_sockets((address,))


INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "now", "few"),
    [
        (50, 5000, 1000 + SPARE, None),
        (1000 + SPARE, 5000, None, None),
        (4000, 5000, None, None),
        (50, 1000 + SPARE, 1000 + SPARE, None),
        (50, 500, 500, 500 - SPARE),
        (500, 500, None, 500 - SPARE),
        (50, INFINITE, 1000 + SPARE, None),
        (INFINITE, INFINITE, None, None),
    ],
)
def test_descriptors(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, now: int | None, few: int | None
) -> None:
    """As many as the connections need; never fewer than before; where they are too few, it is said."""
    set_to: list[Any] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda *given: set_to.append(given))
    with structlog.testing.capture_logs() as logs:
        raise_descriptors(WebSettings(connections=1000))
    assert set_to == ([] if now is None else [(resource.RLIMIT_NOFILE, (now, hard))])
    assert [(line["event"], line["connections"], line["wanted"]) for line in logs] == (
        [] if few is None else [("few_descriptors", few, 1000)]
    )


def test_hardly_any_descriptors_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (50, 60))
    with pytest.raises(SettingsError, match="allows this process 60 open files; 116 are needed"):
        raise_descriptors(WebSettings(connections=1000))
