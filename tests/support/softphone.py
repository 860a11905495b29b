"""A real SIP registrar (Kamailio) and a real softphone (linphonec), as Debian ships them, on loopback."""

import os
import socket
import subprocess
import time
from pathlib import Path
from shutil import which
from typing import Self

from tests.support.couchdb import free_port

PATIENCE = 60.0
"""Seconds after which something that must come is missing. Nothing is measured by it."""

# It asks for a digest of the address's own domain, as Kazoo does, and says in its log what came of it.
SETTINGS = """#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=1
disable_core_dump=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "db_text.so"
loadmodule "auth.so"
loadmodule "auth_db.so"
modparam("db_text", "db_mode", 1)
modparam("auth_db", "db_url", "text://{db}")
modparam("auth_db", "calculate_ha1", 1)
modparam("auth_db", "password_column", "password")
modparam("auth_db", "use_domain", 1)
modparam("usrloc", "db_mode", 0)
request_route {{
    if (method != "REGISTER") {{ sl_send_reply("405", "Method Not Allowed"); exit; }}
    if (!www_authenticate("$td", "subscriber")) {{
        if ($au != $null) {{ xlog("L_ALERT", "REFUSED $au of $td\\n"); }}
        www_challenge("$td", "1");
        exit;
    }}
    if (!save("location")) {{ sl_reply_error(); exit; }}
    xlog("L_ALERT", "REGISTERED $tu to $ru as $au over $proto for $hdr(Expires)\\n");
    exit;
}}
"""


class Kamailio:
    """A registrar that knows one user. `log` holds a line for each registration and each wrong password."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        for name in ("db", "run"):
            (folder / name).mkdir(parents=True)
        (folder / "db" / "version").write_text("table_name(string) table_version(int)\nsubscriber:7\n")
        (folder / "kamailio.cfg").write_text(SETTINGS.format(port=self.port, db=folder / "db"))
        self._log = folder / "log"

    def knows(self, name: str, realm: str, password: str) -> None:
        """Let this one user in, from now on."""
        new = self.folder / "db" / "new"
        new.write_text(
            f"id(int,auto) username(string) domain(string) password(string)\n1:{name}:{realm}:{password}\n"
        )
        new.rename(self.folder / "db" / "subscriber")

    def __enter__(self) -> Self:
        program = which("kamailio", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "kamailio is missing: tests/install-deps.sh"
        run = str(self.folder / "run")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, "-f", str(self.folder / "kamailio.cfg"), "-DD", "-E", "-m", "16", "-M", "4", "-w", run, "-Y", run],
                stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.05)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)

    def said(self) -> list[str]:
        """What became of each attempt so far."""
        found = (line.partition("<script>: ")[2] for line in self._log.read_text().splitlines())
        return [line for line in found if line.startswith(("REGISTERED", "REFUSED"))]

    def wait(self, text: str, since: int) -> str:
        """Wait for an attempt with this in its line, after the first `since` ones."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for line in self.said()[since:]:
                if text in line:
                    return line
            assert time.monotonic() < deadline, f"no {text}: {self._log.read_text()[-3000:]}"
            time.sleep(0.05)


class Linphone:
    """A linphonec that was told nothing but where its settings are. It keeps its file from start to start."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        # Without this folder it cannot open its databases, and does not start.
        (folder / ".local" / "share" / "linphone").mkdir(parents=True)
        self.settings = folder / "linphonerc"
        self.settings.write_text(f"[misc]\nconfig-uri={url}\n\n[sip]\nsip_port=-1\n")

    def __enter__(self) -> Self:
        program = which("linphonec")
        assert program, "linphonec is missing: tests/install-deps.sh"
        self._process = subprocess.Popen(
            [program, "-c", str(self.settings), "-d", "5", "-l", str(self.folder / "log")],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": str(self.folder)}, text=True, cwd=self.folder,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        """Quit, as a user does: it takes its registration back and writes its file."""
        try:
            self._process.communicate("quit\n", PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
