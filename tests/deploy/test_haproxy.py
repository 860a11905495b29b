"""deploy/haproxy.cfg with a real HAProxy: what phones get through it, and which instance they get it from."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.deploy import proxies
from tests.deploy.proxies import (
    FILE,
    HERE,
    ODD,
    PATIENCE,
    PHONE,
    Certificate,
    Client,
    Got,
    Ports,
    Recorder,
    ask,
    port_of,
    remote,
)  # fmt: skip
from tests.support.service import Service

MAIN = """
global
    maxconn 256

defaults
    mode http
    timeout connect 5000
    timeout client 50000
    timeout server 50000
    errorfile 503 {folder}/503.http

"""
"""As in Debian's haproxy.cfg, to whose end ours is added."""
ERROR = "HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/html\r\n\r\n<h1>503</h1>\r\n"
Instance = tuple[int, int]
"""The port for phones, and the one of the operator's pages."""
READY = ("200 OK", b"ready\n")
UNREADY = ("503 Service Unavailable", b"not ready\n")


@contextmanager
def haproxy(folder: Path, tls: Certificate, *instances: Instance) -> Iterator[Ports]:
    """HAProxy in front of one instance of the service, or two."""
    program = proxies.tool("haproxy")
    ports = Ports(*proxies.free_ports(2))
    values = {
        "bind :80\n": f"bind {HERE}:{ports.http}\n",
        "bind :443 ssl": f"bind {HERE}:{ports.https} ssl",
        "/etc/haproxy/prov.example.com.pem": str(tls.both),
        "one 127.0.0.1:8080 send-proxy-v2 check port 8081": (
            f"one {HERE}:{instances[0][0]} send-proxy-v2 check port {instances[0][1]}"
        ),
    }
    if len(instances) == 2:
        values["#server two 192.0.2.2:8080 send-proxy-v2 check port 8081"] = (
            f"server two {HERE}:{instances[1][0]} send-proxy-v2 check port {instances[1][1]}"
        )
    config = folder / "haproxy.cfg"
    (folder / "503.http").write_text(ERROR)
    config.write_text(MAIN.format(folder=folder) + proxies.fill("haproxy.cfg", values))
    with proxies.running([program, "-db", "-f", str(config)], ports.http, folder / "haproxy.said"):
        yield ports


@contextmanager
def recorded(folder: Path, tls: Certificate) -> Iterator[tuple[Recorder, Recorder, Ports]]:
    """A recorder in the place of the service, one in the place of its operator's pages, and HAProxy."""
    with (
        Recorder() as recorder,
        Recorder(*READY) as pages,
        haproxy(folder, tls, (recorder.port, pages.port)) as ports,
    ):
        yield recorder, pages, ports


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, documents: Path) -> Iterator[Service]:
    proxies.tool("haproxy")
    web = f"trusted_proxies: ['{HERE}'], proxy_protocol: true"
    with Service(tmp_path_factory.mktemp("service"), documents, web=web) as service:
        service.wait("synced")
        yield service


@pytest.fixture(scope="module")
def ports(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate, service: Service
) -> Iterator[Ports]:
    instance = (port_of(service), urlsplit(service._status).port or 0)
    with haproxy(tmp_path_factory.mktemp("haproxy"), certificate, instance) as ports:
        yield ports


def until(port: int, status: int) -> Got:
    """Ask until the answer has a status: HAProxy looks every 2 s whether an instance is ready."""
    deadline = time.monotonic() + PATIENCE
    while True:
        got = ask(port, FILE)
        if got.status == status:
            return got
        assert time.monotonic() < deadline, got
        time.sleep(0.1)


def test_a_phone_gets_its_file(service: Service, ports: Ports, certificate: Certificate) -> None:
    # From an address that is no proxy's, the service speaks plain HTTP.
    direct = ask(port_of(service), FILE, source=PHONE)
    assert direct.status == 200
    for port, tls in ((ports.http, None), (ports.https, certificate.trusted())):
        got = ask(port, FILE, {"Accept-Encoding": "gzip, deflate"}, tls=tls)
        assert (got.status, got.body) == (200, direct.body)
        for name in ("etag", "cache-control", "content-type"):
            assert got.headers[name] == direct.headers[name]
        assert "content-encoding" not in got.headers
        again = ask(port, FILE, {"If-None-Match": got.headers["etag"]}, tls=tls)
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == got.headers["etag"]
    for path in ODD[:4]:
        assert ask(ports.http, path).body == direct.body, path


def test_the_log_names_the_phone(service: Service, ports: Ports, certificate: Certificate) -> None:
    assert ask(ports.http, FILE, {"User-Agent": "phone 1"}, source=PHONE).status == 200
    assert remote(service, "phone 1") == PHONE
    assert (
        ask(
            ports.https, FILE, {"User-Agent": "phone 2"}, source="127.0.0.4", tls=certificate.trusted()
        ).status
        == 200
    )
    assert remote(service, "phone 2") == "127.0.0.4"


def test_what_a_phone_says_of_itself_is_not_believed(service: Service, ports: Ports) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9"}
    assert ask(ports.http, FILE, {"User-Agent": "phone 3", **forged}, source=PHONE).status == 200
    assert remote(service, "phone 3") == PHONE
    # Past the proxy.
    assert ask(port_of(service), FILE, {"User-Agent": "phone 4", **forged}, source=PHONE).status == 200
    assert remote(service, "phone 4") == PHONE


def test_an_instance_that_is_not_synced_gets_no_phones(tmp_path: Path, certificate: Certificate) -> None:
    (tmp_path / "nothing").mkdir()
    web = f"trusted_proxies: ['{HERE}'], proxy_protocol: true"
    proxies.tool("haproxy")
    with Service(tmp_path / "service", tmp_path / "nothing", web=web) as service, Recorder() as other:
        instances = ((port_of(service), urlsplit(service._status).port or 0), (other.port, other.port))
        with haproxy(tmp_path, certificate, *instances) as ports:
            for number in range(3, 13):
                assert ask(ports.http, FILE, source=f"127.0.0.{number}").status == 200


def test_urls_arrive_as_they_were_sent(tmp_path: Path, certificate: Certificate) -> None:
    with recorded(tmp_path, certificate) as (recorder, _, ports):
        for path in ODD:
            assert ask(ports.http, path).status == 200, path
        assert [asked.target for asked in recorder.asked] == ODD
        # A request line with a whole URL goes on as it is: the service can read it.
        whole = "http://old.example.com/p//x%2f"
        ask(ports.http, whole, {"Host": "old.example.com"})
        assert (recorder.asked[-1].target, recorder.asked[-1].headers["host"]) == (whole, "old.example.com")


def test_what_the_service_is_told(tmp_path: Path, certificate: Certificate) -> None:
    with recorded(tmp_path, certificate) as (recorder, pages, ports):
        forged = {
            "Host": "old.example.com:80", "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "x.example.com",
            "X-Forwarded-Proto": "gopher",
        }  # fmt: skip
        ask(ports.http, FILE, forged, source=PHONE)
        ask(ports.https, FILE, source=PHONE, tls=certificate.trusted())
        plain, secret = recorder.asked
        assert plain.client == secret.client == PHONE
        assert plain.headers["host"] == plain.headers["x-forwarded-host"] == "old.example.com:80"
        assert "x-forwarded-for" not in plain.headers
        schemes = plain.headers["x-forwarded-proto"], secret.headers["x-forwarded-proto"]
        assert schemes == ("http", "https")
        checks = list(pages.asked)
    assert {(asked.client, asked.target) for asked in checks} == {("", "/readyz")}


def test_a_connection_to_the_service_is_one_phones(tmp_path: Path, certificate: Certificate) -> None:
    with recorded(tmp_path, certificate) as (recorder, _, ports):
        for source in (PHONE, "127.0.0.4", PHONE):
            with Client(ports.http, source) as client:
                for _ in range(3):
                    assert client.ask(FILE).status == 200
        assert [asked.client for asked in recorder.asked] == [PHONE] * 3 + ["127.0.0.4"] * 3 + [PHONE] * 3


def test_uploads_are_refused(tmp_path: Path, certificate: Certificate) -> None:
    with recorded(tmp_path, certificate) as (recorder, _, ports):
        assert ask(ports.http, "/p/x.log", method="PUT", body=bytes(60_000)).status == 200
        assert ask(ports.http, "/p/x.log", method="PUT", body=bytes(70_000)).status == 413
        assert len(recorder.asked) == 1


def test_not_ready_goes_through(tmp_path: Path, certificate: Certificate) -> None:
    with recorded(tmp_path, certificate) as (recorder, _, ports):
        recorder.say("503 Service Unavailable", b"Not ready\n", "Retry-After: 7")
        got = ask(ports.http, FILE)
        assert (got.status, got.body, got.headers["retry-after"]) == (503, b"Not ready\n", "7")


def test_an_instance_that_is_not_ready_is_taken_out(tmp_path: Path, certificate: Certificate) -> None:
    with recorded(tmp_path, certificate) as (_, pages, ports):
        assert ask(ports.http, FILE).status == 200
        pages.say(*UNREADY)
        got = until(ports.http, 503)
        assert (got.body, got.headers["retry-after"]) == (b"Not ready\n", "10")
        pages.say(*READY)
        until(ports.http, 200)


def test_the_other_instance_is_asked(tmp_path: Path, certificate: Certificate) -> None:
    (nobody,) = proxies.free_ports(1)
    for name in ("busy", "gone"):
        (tmp_path / name).mkdir()
        with Recorder() as good, Recorder(*UNREADY) as busy, Recorder(*READY) as pages:
            bad = busy.port if name == "busy" else nobody
            # Its own pages say that it is ready, so only the request itself shows that it is not.
            instances = ((bad, pages.port), (good.port, pages.port))
            with haproxy(tmp_path / name, certificate, *instances) as ports:
                for number in range(3, 23):
                    assert ask(ports.http, FILE, source=f"127.0.0.{number}").status == 200
            assert len(good.asked) == 20
            assert name == "gone" or busy.asked
