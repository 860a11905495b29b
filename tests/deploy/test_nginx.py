"""deploy/nginx.conf with a real nginx: what phones get through it, and what the service learns of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy import proxies
from tests.deploy.proxies import (
    FILE,
    HERE,
    ODD,
    PHONE,
    Certificate,
    Client,
    Ports,
    Recorder,
    ask,
    port_of,
    remote,
)
from tests.support.service import Service

MAIN = """
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/snippet.conf;
}}
"""


@contextmanager
def nginx(folder: Path, tls: Certificate, *instances: int) -> Iterator[Ports]:
    """nginx in front of one instance of the service, or two."""
    program = proxies.tool("nginx")
    ports = Ports(*proxies.free_ports(2))
    values = {
        "    listen [::]:80;\n": "",
        "    listen [::]:443 ssl;\n": "",
        "listen 80;": f"listen {HERE}:{ports.http};",
        "listen 443 ssl;": f"listen {HERE}:{ports.https} ssl;",
        "server 127.0.0.1:8080": f"server {HERE}:{instances[0]}",
        "/etc/nginx/prov.example.com.crt": str(tls.certificate),
        "/etc/nginx/prov.example.com.key": str(tls.key),
    }
    if len(instances) == 2:
        values["#server 192.0.2.2:8080"] = f"server {HERE}:{instances[1]}"
    (folder / "snippet.conf").write_text(proxies.fill("nginx.conf", values))
    main = folder / "nginx.conf"
    main.write_text(MAIN.format(folder=folder, user="user root;" if os.geteuid() == 0 else ""))
    arguments = [program, "-p", str(folder), "-e", "stderr", "-c", str(main)]
    with proxies.running(arguments, ports.http, folder / "nginx.said"):
        yield ports


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, documents: Path) -> Iterator[Service]:
    proxies.tool("nginx")
    with Service(
        tmp_path_factory.mktemp("service"), documents, web=f"trusted_proxies: ['{HERE}']"
    ) as service:
        service.wait("synced")
        yield service


@pytest.fixture(scope="module")
def ports(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate, service: Service
) -> Iterator[Ports]:
    with nginx(tmp_path_factory.mktemp("nginx"), certificate, port_of(service)) as ports:
        yield ports


def test_a_phone_gets_its_file(service: Service, ports: Ports, certificate: Certificate) -> None:
    direct = service.get(FILE)
    for port, tls in ((ports.http, None), (ports.https, certificate.trusted())):
        got = ask(port, FILE, {"Accept-Encoding": "gzip, deflate"}, tls=tls)
        assert (got.status, got.body) == (200, direct.body)
        assert got.headers["etag"] == direct.headers["ETag"]
        assert got.headers["cache-control"] == direct.headers["Cache-Control"]
        assert got.headers["content-type"] == direct.headers["Content-Type"]
        assert "content-encoding" not in got.headers
        again = ask(port, FILE, {"If-None-Match": got.headers["etag"]}, tls=tls)
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == got.headers["etag"]
        assert ask(port, FILE, method="HEAD", tls=tls).headers["content-length"] == str(len(direct.body))


def test_what_is_not_there_is_the_services_404(service: Service, ports: Ports) -> None:
    got = ask(ports.http, "/p/001565ffffff.cfg")
    direct = service.get("/p/001565ffffff.cfg")
    assert (got.status, got.body) == (direct.status, direct.body) == (404, b"Not found\n")


def test_odd_urls_get_the_file(service: Service, ports: Ports) -> None:
    direct = service.get(FILE)
    for path in ODD[:4]:
        assert ask(ports.http, path).body == direct.body, path


def test_the_log_names_the_phone(service: Service, ports: Ports) -> None:
    assert ask(ports.http, FILE, {"User-Agent": "phone 1"}, source=PHONE).status == 200
    assert remote(service, "phone 1") == PHONE


def test_what_a_phone_says_of_itself_is_not_believed(service: Service, ports: Ports) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9"}
    assert ask(ports.http, FILE, {"User-Agent": "phone 2", **forged}, source=PHONE).status == 200
    assert remote(service, "phone 2") == PHONE
    # Past the proxy.
    assert ask(port_of(service), FILE, {"User-Agent": "phone 3", **forged}, source=PHONE).status == 200
    assert remote(service, "phone 3") == PHONE


def test_urls_arrive_as_they_were_sent(tmp_path: Path, certificate: Certificate) -> None:
    with Recorder() as recorder, nginx(tmp_path, certificate, recorder.port) as ports:
        for path in ODD:
            assert ask(ports.http, path).status == 200, path
        assert [asked.target for asked in recorder.asked] == ODD
        # A request line with a whole URL: the service learns path and host.
        ask(ports.http, "http://old.example.com/p//x%2f", {"Host": "old.example.com"})
        assert (recorder.asked[-1].target, recorder.asked[-1].headers["host"]) == (
            "/p//x%2f",
            "old.example.com",
        )


def test_what_the_service_is_told(tmp_path: Path, certificate: Certificate) -> None:
    with Recorder() as recorder, nginx(tmp_path, certificate, recorder.port) as ports:
        forged = {
            "Host": "Old.Example.com:80", "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "x.example.com",
            "X-Forwarded-Proto": "gopher",
        }  # fmt: skip
        ask(ports.http, FILE, forged, source=PHONE)
        ask(ports.https, FILE, {"Host": "prov.example.com"}, source=PHONE, tls=certificate.trusted())
        plain, secret = (asked.headers for asked in recorder.asked)
        assert plain["host"] == plain["x-forwarded-host"] == "old.example.com"
        assert plain["x-forwarded-for"] == secret["x-forwarded-for"] == PHONE
        assert (plain["x-forwarded-proto"], secret["x-forwarded-proto"]) == ("http", "https")


def test_connections_to_the_service_are_kept(tmp_path: Path, certificate: Certificate) -> None:
    with Recorder() as recorder, nginx(tmp_path, certificate, recorder.port) as ports:
        for _ in range(5):
            ask(ports.http, FILE)
        assert {asked.connection for asked in recorder.asked} == {recorder.asked[0].connection}


def test_nothing_is_kept_for_the_next_phone(tmp_path: Path, certificate: Certificate) -> None:
    cacheable = ("Cache-Control: public, max-age=600", 'ETag: "1"')
    with (
        Recorder("200 OK", b"first", *cacheable) as recorder,
        nginx(tmp_path, certificate, recorder.port) as ports,
    ):
        assert ask(ports.http, FILE).body == b"first"
        recorder.say("200 OK", b"second", *cacheable)
        assert ask(ports.http, FILE).body == b"second"
        # If-None-Match is the service's to answer.
        assert ask(ports.http, FILE, {"If-None-Match": '"1"'}).body == b"second"
        assert recorder.asked[-1].headers["if-none-match"] == '"1"'


def test_a_large_file_goes_through_memory(tmp_path: Path, certificate: Certificate) -> None:
    large = bytes(range(256)) * 16_384
    with Recorder("200 OK", large) as recorder, nginx(tmp_path, certificate, recorder.port) as ports:
        assert ask(ports.http, FILE).body == large
        assert not [path for path in (tmp_path / "proxy").rglob("*") if path.is_file()]


def test_uploads_are_refused(tmp_path: Path, certificate: Certificate) -> None:
    with Recorder() as recorder, nginx(tmp_path, certificate, recorder.port) as ports:
        assert ask(ports.http, "/p/x.log", method="PUT", body=bytes(60_000)).status == 200
        assert ask(ports.http, "/p/x.log", method="PUT", body=bytes(70_000)).status == 413
        assert len(recorder.asked) == 1


def test_not_ready_goes_through(tmp_path: Path, certificate: Certificate) -> None:
    busy = Recorder("503 Service Unavailable", b"Not ready\n", "Retry-After: 7")
    with busy, nginx(tmp_path, certificate, busy.port) as ports:
        got = ask(ports.http, FILE)
        assert (got.status, got.body, got.headers["retry-after"]) == (503, b"Not ready\n", "7")


def test_the_other_instance_is_asked(tmp_path: Path, certificate: Certificate) -> None:
    (nobody,) = proxies.free_ports(1)
    for bad in (Recorder("503 Service Unavailable", b"", "Retry-After: 7"), None):
        (tmp_path / str(bool(bad))).mkdir()
        with Recorder() as good:
            instances = (bad.port if bad else nobody, good.port)
            with nginx(tmp_path / str(bool(bad)), certificate, *instances) as ports:
                # From many addresses: some belong to the one instance, some to the other.
                for number in range(3, 13):
                    assert ask(ports.http, FILE, source=f"127.0.0.{number}").status == 200
        assert len(good.asked) == 10
        if bad:
            bad.__exit__()
            assert bad.asked


def test_a_phone_stays_with_an_instance(tmp_path: Path, certificate: Certificate) -> None:
    with (
        Recorder() as one,
        Recorder() as two,
        nginx(tmp_path, certificate, one.port, two.port) as ports,
    ):
        for _ in range(5):
            for number in range(3, 13):
                ask(ports.http, FILE, source=f"127.0.0.{number}")
        first, second = ({a.headers["x-forwarded-for"] for a in r.asked} for r in (one, two))
        assert first
        assert second
        assert not first & second


def test_nobody_there_is_said_as_the_service_would(tmp_path: Path, certificate: Certificate) -> None:
    with nginx(tmp_path, certificate, *proxies.free_ports(2)) as ports, Client(ports.http) as client:
        for _ in range(10):
            got = client.ask(FILE)
            assert (got.status, got.body, got.headers["retry-after"]) == (503, b"Not ready\n", "10")
