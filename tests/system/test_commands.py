"""The commands beside `serve`, as an operator types them: what they say, their exit codes, what they write."""

import asyncio
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from kazoo_provisioner import app, cli, workshop
from kazoo_provisioner.catalogue.load import load as load_catalogue
from kazoo_provisioner.model.ids import db_of_account
from kazoo_provisioner.render.engine import Renderer
from kazoo_provisioner.settings import load
from kazoo_provisioner.store.schema import StoreError
from kazoo_provisioner.store.writer import Store
from tests.support import kazoo, tiny
from tests.support.kazoo import Folder, account_id, mac
from tests.support.service import Service
from tests.support.world import Harness

HERE, OTHER = account_id(1), account_id(2)
SECRET = "secret-"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Two accounts: a phone, one that names no model, one whose password cannot be used."""
    made = Folder(tmp_path / "dbs")
    for account in (HERE, OTHER):
        made.put_account(kazoo.account(account, zones={"home": "east"}, pvt_reseller_id=OTHER))
    db = db_of_account(HERE)
    made.put(db, kazoo.device("good", mac(1), brand="acme", model="oneb"))
    made.put(db, kazoo.device("nobrand", mac(2), brand="", owner_id="nobody"))
    made.put(db, kazoo.device("bad", mac(3), brand="acme", model="onea", sip={"password": f"{SECRET}\nx"}))
    return made


def config(tmp_path: Path, folder: Path, **rooms: object) -> Path:
    """A settings file with tiny templates; rooms are added to it, or stand in place of what it has."""
    templates = tmp_path / "templates"
    if not templates.exists():
        tiny.write(templates)
    file = tmp_path / "settings.yaml"
    settings = {
        "source": {"path": str(folder)},
        "store": {"path": str(tmp_path / "store")},
        "templates": {"folders": [{"path": str(templates), "trusted": True}], "shipped": False},
        "phones": {"default": {"public_url": "http://prov.example.com/p"}},
    }
    file.write_text(yaml.safe_dump(settings | rooms))
    return file


def run(*arguments: str) -> Result:
    """Run a command in this process; a traceback of it is one of the test."""
    done = CliRunner().invoke(cli.main, arguments)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def explain(config: Path, *arguments: str) -> list[str]:
    done = run("explain", *arguments, "-c", str(config))
    assert done.exit_code in (0, cli.EXIT_NOT_FOUND), done.output
    assert SECRET not in done.output
    return done.output.splitlines()


# explain


def test_the_first_lines_are_the_answer(tmp_path: Path, folder: Folder) -> None:
    file = config(tmp_path, folder.root)
    good = explain(file, mac(1))
    assert good[0] == f"200 under /p/{HERE}/: {mac(1)}-more.cfg, {mac(1)}.cfg; made for device good"
    assert good[1] == f"200 under /p/: {mac(1)}-more.cfg, {mac(1)}.cfg; made for device good"
    for number, reason in ((2, "no_model: the device names no"), (3, "unusable_value: sip.password holds")):
        lines = explain(file, mac(number))
        assert lines[0].startswith(f"404 under /p/{HERE}/: {reason}")
        assert lines[1].startswith(f"404 under /p/: {reason}")
        assert "answered" not in "\n".join(lines)
    wrong = explain(file, mac(1), "--account", OTHER)
    assert wrong[0].startswith(f"404 under /p/{OTHER}/: wrong_account: ")
    assert wrong[0].endswith(f"It belongs to {HERE} (Account 0001)")
    assert wrong[1].startswith("200 under /p/: ")
    unknown = run("explain", mac(9), "-c", str(file))
    assert unknown.exit_code == cli.EXIT_NOT_FOUND
    assert unknown.output.startswith("404 under /p/: unknown_mac: ")


def test_then_who_has_the_mac_and_the_devices(tmp_path: Path, folder: Folder) -> None:
    folder.put(
        db_of_account(OTHER),
        kazoo.device("later", mac(1), brand="acme", model="onea", pvt_created=99_000_000_000),
    )
    lines = explain(config(tmp_path, folder.root), mac(1))
    assert [line.partition(":")[0] for line in lines[:3]] == [
        f"200 under /p/{HERE}/", f"200 under /p/{OTHER}/", "200 under /p/"
    ]  # fmt: skip
    assert lines[1].endswith("made for device later")
    assert lines[2].endswith("made for device good")
    at = lines.index(f"Who has the MAC {mac(1)}")
    assert [line.split()[:2] for line in lines[at + 1 : at + 4]] == [
        [f"/p/{HERE}/", "good"], [f"/p/{OTHER}/", "later"], ["/p/", "good"]
    ]  # fmt: skip
    assert "MAC conflict: 2 devices" in lines[at + 4]
    assert [line.split()[1] for line in lines if line.startswith("Device ")] == ["good", "later"]


def test_a_path_is_answered_for_its_name(tmp_path: Path, folder: Folder) -> None:
    file = config(tmp_path, folder.root)
    for under, says in (
        (f"/p/{HERE}/", f"under account {HERE} (Account 0001)"),
        ("/p/", "without an account"),
    ):
        for name in (f"{mac(1)}-local.cfg", f"{mac(1)}-license.cfg"):
            (first, *_) = explain(file, f"http://prov.example.com{under}{name}")
            assert first == (
                f"404 {says} for {name}: no_such_file: no file of that name is made for this phone. "
                f"These are: {mac(1)}-more.cfg, {mac(1)}.cfg"
            )
        name = f"{mac(1)}.cfg"
        assert explain(file, f"{under}{name}?x=1")[0] == f"200 {says} for {name}: made for device good"
        name = "one-common.cfg"
        common = explain(file, under + name)
        assert common[0].startswith(f"200 {says} for {name}: a file that all phones of acme/one share")
        assert common[1].startswith("  rendered   ")
        (nothing,) = explain(file, f"{under}other.cfg")
        assert nothing.startswith(f"404 {says} for other.cfg: no_such_file: it names no phone")
    book = explain(file, f"/p/{HERE}/one-book.cfg")
    assert f"for one-book.cfg: the phonebook of account {HERE}" in book[0]


def test_without_an_account_where_one_is_required(tmp_path: Path, folder: Folder) -> None:
    file = config(tmp_path, folder.root, web={"serve_without_account": False})
    bare = explain(file, f"/p/{mac(1)}.cfg")
    assert bare[0].startswith(f"404 without an account for {mac(1)}.cfg: account_required: ")
    both = explain(file, mac(1))
    assert both[0].startswith(f"200 under /p/{HERE}/: ")
    assert both[1].startswith("404 under /p/: account_required: ")
    files = [line.split()[1] for line in both if line.startswith("  file ")]
    assert files == [f"/p/{HERE}/{mac(1)}-more.cfg", f"/p/{HERE}/{mac(1)}.cfg"]
    assert explain(file, "/p/one-common.cfg")[0].startswith("200 ")


def test_explain_says_what_a_running_service_answers(tmp_path: Path, folder: Folder) -> None:
    folder.put(db_of_account(HERE), kazoo.device("real", mac(7)))
    with Service(tmp_path / "service", folder.root) as service:
        service.wait("synced")  # from here on it is served: no older request of it is in the log
        service.until(f"/p/{HERE}/{mac(7)}.cfg", lambda got: got.status == 200)
        for path in (f"/p/{HERE}/{mac(7)}.cfg", f"/p/{mac(2)}.cfg", f"/p/{OTHER}/{mac(7)}.cfg", "/p/nothing"):
            (first, *_) = explain(service.config, service.base + path)
            assert first.startswith(f"{service.get(path).status} ")
            request = service.wait("phone_request", file=path.rpartition("/")[2])
            assert request["reason"] == "served" or f": {request['reason']}: " in first


def test_causes_are_few_and_short_and_layers_are_named(tmp_path: Path, folder: Folder) -> None:
    db, device = db_of_account(HERE), "de" + "0" * 29 + "7"
    users = [f"fe{number:030d}" for number in range(6)]
    for user in users:
        folder.put(db, kazoo.user(user, presence_id="1"))
    keys = {str(i): {"type": "presence", "value": user} for i, user in enumerate(users)}
    folder.put(db, kazoo.device(device, mac(8), brand="acme", model="onea", provision={"combo_keys": keys}))
    layer = {"ntp": ["ntp.example.com"]}
    phones = {
        "default": {"public_url": "http://prov.example.com/p"},
        "zones": {"east": layer, "west": layer},
        "resellers": {OTHER: layer},
        "accounts": {HERE: layer, account_id(3): layer},
    }
    file = config(tmp_path, folder.root, phones=phones)
    assert any(line.endswith(" because of the first pass") for line in explain(file, mac(8)))
    world = Harness(
        tmp_path / "store", Renderer(load_catalogue(tmp_path / "templates"))
    )  # each of them an edit
    world.deliver(folder.documents().items())
    world.settle()
    world.store.close()
    lines = explain(file, mac(8))
    (rendered,) = [line for line in lines if line.startswith("  rendered ")]
    assert rendered.count(" revision ") == 3
    assert " and 4 more" in rendered
    assert "fe0000…0000 revision 1-0000…0000" in rendered
    assert len(rendered) < 220
    assert f"  settings   default, zone east, reseller {OTHER}, account {HERE}" in lines
    shutil.rmtree(tmp_path / "store")
    plain = explain(config(tmp_path, folder.root), mac(8))
    assert "  settings   default" in plain


# Mistakes


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that another user can read too, as pytest's own are root's alone where root runs it."""
    made = Path(tempfile.mkdtemp(prefix="kazoo-provisioner-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@contextmanager
def somebody_else() -> Iterator[None]:
    """Be a user who is not root: nobody where we are root, else ourselves."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.parametrize("mode", [0o000, 0o555])
def test_who_may_not_read_the_store_is_told_so(readable: Path, mode: int) -> None:
    file = config(readable, readable / "dbs")
    store = readable / "store"
    Store(store).close()
    for path in (readable / "templates").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for path in store.iterdir():
        path.chmod(0o000)
    store.chmod(mode)
    file.chmod(0o644)
    try:
        for words in (("explain", mac(1)), ("render", mac(1))):
            with somebody_else():
                done = run(*words, "-c", str(file))
            assert done.exit_code == cli.EXIT_UNUSABLE, done.stderr
            assert done.stderr.count("\n") == 1
            assert "run this as the user who runs the service" in done.stderr
    finally:
        store.chmod(0o700)


def test_a_place_that_cannot_be_written_is_one_line(readable: Path, tmp_path: Path, folder: Folder) -> None:
    file = config(tmp_path, folder.root)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    out = tmp_path / "out"
    (out / f"{mac(1)}.cfg").mkdir(parents=True)
    for place in (in_the_way / "below", out):
        done = run("render", mac(1), "--out", str(place), "-c", str(file))
        assert done.exit_code == cli.EXIT_UNUSABLE
        assert done.stderr.startswith(f"error: {place}")
        assert done.stderr.count("\n") == 1


def test_rendered_files_are_for_their_owner_alone(tmp_path: Path, folder: Folder) -> None:
    file = config(tmp_path, folder.root)
    out = tmp_path / "new" / "out"
    assert run("render", mac(1), "--out", str(out), "-c", str(file)).exit_code == 0
    there = out / f"{mac(1)}.cfg"
    said = there.read_bytes()
    assert b"secret-good" in said
    there.write_text("x" * 100_000)
    there.chmod(0o666)
    assert run("render", mac(1), "--out", str(out), "-c", str(file)).exit_code == 0
    assert there.read_bytes() == said
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    aim = tmp_path / "aim"
    aim.write_text("mine")
    there.unlink()
    there.symlink_to(aim)
    done = run("render", mac(1), "--out", str(out), "-c", str(file))
    assert done.exit_code == cli.EXIT_UNUSABLE
    assert done.stderr == f"error: {there}: is a symbolic link, which is not followed\n"
    assert aim.read_text() == "mine"


@pytest.mark.parametrize("command", ["explain", "render"])
def test_an_account_that_is_none_is_a_usage_error(tmp_path: Path, folder: Folder, command: str) -> None:
    file = config(tmp_path, folder.root)
    done = run(command, mac(1), "--account", "ffff", "-c", str(file))
    assert done.exit_code == 2
    assert "'ffff' is not an account id (32 of 0-9 a-z)" in done.stderr
    assert run(command, mac(1), "--account", HERE.upper(), "-c", str(file)).exit_code == 0
    both = run("explain", f"/p/{mac(1)}.cfg", "--account", HERE, "-c", str(file))
    assert both.exit_code == 2
    assert "a path says its account itself" in both.stderr


def test_a_source_from_which_nothing_comes_is_given_up(
    tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = config(tmp_path, folder.root)

    async def nothing(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(app.DirectorySource, "run", nothing)
    monkeypatch.setattr(workshop.Workshop, "PATIENCE", 0.2)
    with pytest.raises(StoreError, match=r"nothing came from the source .* for 0.2 s"):
        workshop.Workshop(load(file))
    for words in (("explain", mac(1)), ("render", mac(1))):
        done = run(*words, "-c", str(file))
        assert done.exit_code == cli.EXIT_UNUSABLE
        assert done.stderr.count("\n") == 1
    gone = run("explain", mac(1), "-c", str(config(tmp_path, tmp_path / "nowhere")))
    assert gone.exit_code == cli.EXIT_UNUSABLE
    assert "cannot be read" in gone.stderr


# check


def test_check_misses_the_source(tmp_path: Path, folder: Folder) -> None:
    assert run("check", "-c", str(config(tmp_path, folder.root))).exit_code == 0
    file = config(tmp_path, tmp_path / "nowhere")
    done = run("check", "-c", str(file))
    assert done.exit_code == cli.EXIT_UNUSABLE
    assert done.stderr == (
        f"error: {file}: source.path: {tmp_path / 'nowhere'} is no folder, or is not there\n"
    )


def test_check_says_a_problem_once(tmp_path: Path, folder: Folder) -> None:
    file = config(tmp_path, folder.root)
    template = tmp_path / "templates" / "acme" / "one" / "mac.j2"
    template.write_text(template.read_text() + "{{ phone.nothing }}\n")
    done = run("check", "-c", str(file))
    assert done.exit_code == cli.EXIT_UNUSABLE
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: acme/one/onea with sample ")
    assert "mac.j2 line" in line
    assert line.endswith("(and 9 more models or samples)")


def test_the_example_of_the_help_works() -> None:
    said = run("--help").output
    assert "config/sample.yaml" in said
    assert (ROOT / "config" / "sample.yaml").is_file()
    assert "-c sample/" not in said


def test_check_looks_at_what_settings_say_of_brands_and_models(tmp_path: Path) -> None:
    """A misspelt brand or model would never count, and nobody would hear of it."""
    (tmp_path / "dbs").mkdir()
    parameters = {"acmee": {"a": 1}, "acme/one9": {"a": 1}, "acme": {"a.b": 1}}
    layer = {
        "public_url": "http://x/p",
        "firmware": {"acme/nine": {"url": "http://x"}},
        "parameters": parameters,
    }
    result = run("check", "-c", str(config(tmp_path, tmp_path / "dbs", phones={"default": layer})))
    assert result.exit_code == 2
    for said in (
        "phones.default.firmware.acme/nine: no brand, brand/family or brand/model we know",
        "phones.default.parameters.acmee: no brand", "phones.default.parameters.acme/one9: no brand",
        "phones.default.parameters.acme: these phones take no parameters by name",
    ):  # fmt: skip
        assert said in result.output
    missing = {"folders": [{"path": str(tmp_path / "nope")}], "shipped": True}
    result = run("check", "-c", str(config(tmp_path, tmp_path / "dbs", templates=missing)))
    assert f"templates.folders: {tmp_path / 'nope'}: no such folder" in result.output
