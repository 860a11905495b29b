"""Paths: `/p/…`, and the URLs of other provisioners that are answered as well."""

import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kazoo_provisioner.settings import LegacyPath
from kazoo_provisioner.web.paths import Asked, Paths
from tests.support.kazoo import account_id

HERE, THERE = account_id(1), account_id(2)
MAC, OTHER = "001565aabbcc", "001565aabbdd"
FILE = f"{MAC}.cfg"
HOST = "prov.old.example.com"


def paths(*known: LegacyPath) -> Paths:
    return Paths(known)


BY_HOST = LegacyPath(host=HOST)
ANYWHERE = LegacyPath(prefix="*")
BARE = LegacyPath()
BELOW = LegacyPath(prefix="/prov/cfg/")
ALL = (
    Paths(),
    paths(BY_HOST),
    paths(ANYWHERE),
    paths(BARE),
    paths(BELOW),
    paths(LegacyPath(host=HOST, prefix="*"), BARE),
)


@pytest.mark.parametrize("known", range(len(ALL)))
@pytest.mark.parametrize("host", ["", HOST, "192.0.2.1:8080", "x.example.com"])
@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (f"/p/{HERE}/{FILE}", Asked(HERE, FILE, MAC)),
        (f"/p/{FILE}", Asked("", FILE, MAC)),
        (f"/p/{HERE}/{MAC}/book.xml", Asked(HERE, "book.xml", MAC)),
        (f"/p/{HERE}/book.xml", Asked(HERE, "book.xml", "")),
        (f"//P//{HERE.upper()}//{FILE.upper()}", Asked(HERE, FILE, MAC)),
    ],
)
def test_what_reads_as_new_is_new(known: int, host: str, path: str, asked: Asked) -> None:
    """Whatever old URLs there are: also on the old host, below "/" and "*"."""
    assert ALL[known].parse(host, path) == asked
    assert not asked.legacy


def test_an_old_prefix_that_is_ours() -> None:
    """Where the old URLs of a host were below /p/, who asks there still has the old URL."""
    known = paths(LegacyPath(host=HOST, prefix="/p/"), LegacyPath(prefix="/p/"))
    assert known.parse(HOST, f"/p/{HERE}/{FILE}") == Asked(HERE, FILE, MAC, legacy=True)
    assert known.parse("other", f"/p/{HERE}/{FILE}") == Asked(HERE, FILE, MAC)
    assert known.parse("other", f"/p/contacts/{FILE}") == Asked("", FILE, MAC, legacy=True)
    assert known.parse(HOST, f"/{HERE}/{FILE}") is None


@pytest.mark.parametrize(
    "host",
    [
        HOST, HOST.upper(), f"{HOST}:80", f"{HOST}.", f"{HOST}.:8080", f"www.{HOST}", f"WWW.{HOST.upper()}.:1", f"Www.{HOST}:0",
    ],
)  # fmt: skip
@pytest.mark.parametrize("setting", [HOST, f"www.{HOST}", f"{HOST}."])
def test_a_host_is_known_however_it_is_written(host: str, setting: str) -> None:
    asked = Asked(HERE, FILE, MAC, legacy=True)
    assert paths(LegacyPath(host=setting)).parse(host, f"/{HERE}/{FILE}") == asked


@pytest.mark.parametrize(
    "host",
    ["", ".", ":80", f"x.{HOST}", f"{HOST}.x", f"x{HOST}", f"www.www.{HOST}", "[::1]", "[::1]:80", "::1", "[2001:db8::1", f"[{HOST}]", f" {HOST}", "\udcff", "İ"],
)  # fmt: skip
def test_another_host_is_another(host: str) -> None:
    assert paths(BY_HOST).parse(host, f"/{HERE}/{FILE}") is None
    assert paths(BARE).parse(host, f"/{HERE}/{FILE}") == Asked(HERE, FILE, MAC, legacy=True)


@pytest.mark.parametrize(
    ("below", "asked"),
    [
        (FILE, Asked("", FILE, MAC, legacy=True)),
        (f"{HERE}/{FILE}", Asked(HERE, FILE, MAC, legacy=True)),
        (f"{HERE}/contacts/{MAC}-directory.xml", Asked(HERE, f"{MAC}-directory.xml", MAC, legacy=True)),
        (f"{HERE}/a/b/c/book.xml", Asked(HERE, "book.xml", "", legacy=True)),
        (f"directory/{MAC}/phonebook1.xml", Asked("", "phonebook1.xml", MAC, legacy=True)),
        (f"{HERE}/{MAC}/phonebook1.xml", Asked(HERE, "phonebook1.xml", MAC, legacy=True)),
        (f"{MAC}/{OTHER}/book.xml", Asked("", "book.xml", MAC, legacy=True)),
        # The name of the file says more than a folder.
        (f"{HERE}/{OTHER}/{FILE}", Asked(HERE, FILE, MAC, legacy=True)),
        # The account stands first, or it is none.
        (f"x/{HERE}/{FILE}", Asked("", FILE, MAC, legacy=True)),
        (f"{HERE}/{THERE}/{FILE}", Asked(HERE, FILE, MAC, legacy=True)),
        (f"{HERE[:-1]}/{FILE}", Asked("", FILE, MAC, legacy=True)),
        ("y000000000028.cfg", Asked("", "y000000000028.cfg", "", legacy=True)),
        (f"{HERE}", Asked("", HERE, "", legacy=True)),
        ("a/" * 15 + FILE, Asked("", FILE, MAC, legacy=True)),
        ("a/" * 16 + FILE, None),
        ("", None),
        (f"{HERE}/", None),
        (".cfg", None),
        ("a" * 128, Asked("", "a" * 128, "", legacy=True)),
        ("a" * 129, None),
        (f"../{FILE}", Asked("", FILE, MAC, legacy=True)),
        (f"{FILE}%00", None),
        ("..", None),
    ],
)
@pytest.mark.parametrize(
    ("known", "prefix"), [(BY_HOST, "/"), (BARE, "/"), (BELOW, "/prov/cfg/"), (BELOW, "//Prov/%63fg//")]
)
def test_below_an_old_prefix(known: LegacyPath, prefix: str, below: str, asked: Asked | None) -> None:
    assert paths(known).parse(HOST, f"{prefix}{below}") == asked


@pytest.mark.parametrize(
    "path", [f"/prov/{FILE}", f"/prov/cfgx/{FILE}", "/prov/cfg", f"/x/prov/cfg/{FILE}", f"/{FILE}"]
)
def test_not_below_it(path: str) -> None:
    assert paths(BELOW).parse(HOST, path) is None


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (f"/{FILE}", Asked("", FILE, MAC, legacy=True)),
        (f"/x/y/{HERE}/z/{FILE}", Asked(HERE, FILE, MAC, legacy=True)),
        (f"/{THERE}/x/{HERE}/{FILE}", Asked(THERE, FILE, MAC, legacy=True)),
        (f"/x/directory/{MAC}/book.xml", Asked("", "book.xml", MAC, legacy=True)),
        (f"/p/x/{HERE}/{FILE}", Asked(HERE, FILE, MAC, legacy=True)),
        ("/" + "a/" * 15 + FILE, Asked("", FILE, MAC, legacy=True)),
        ("/" + "a/" * 16 + FILE, None),
        ("/", None),
        ("", None),
        ("*", None),
        (FILE, None),
        ("prov.example.com:443", None),
        (f"%2f{FILE}", None),
    ],
)
@pytest.mark.parametrize("host", [None, HOST])
def test_anywhere(host: str | None, path: str, asked: Asked | None) -> None:
    assert paths(LegacyPath(host=host, prefix="*")).parse(HOST, path) == asked


def test_precedence() -> None:
    """An old /p/ of the host, /p/, the host's others, those without a host; within each as they are written."""
    known = paths(BELOW, ANYWHERE, LegacyPath(host=HOST, prefix="/prov/"))
    below = f"/prov/cfg/{HERE}/{FILE}"
    assert known.parse(HOST, below) == Asked("", FILE, MAC, legacy=True)
    assert known.parse("x", below) == Asked(HERE, FILE, MAC, legacy=True)
    assert known.parse(HOST, f"/x/{HERE}/{FILE}") == Asked(HERE, FILE, MAC, legacy=True)
    assert paths(BARE, ANYWHERE).parse("x", f"/x/{HERE}/{FILE}") == Asked("", FILE, MAC, legacy=True)
    assert paths(ANYWHERE, BARE).parse("x", f"/x/{HERE}/{FILE}") == Asked(HERE, FILE, MAC, legacy=True)


@pytest.mark.parametrize(
    ("file", "mac"),
    [
        (f"spa{MAC}.xml", MAC), (f"ata{MAC}.txt", MAC), (f"sep{MAC}.cnf.xml", MAC), (f"cfg{MAC}", MAC), (f"xspa{MAC}.xml", ""),
        (f"a{MAC}.cfg", ""), (f"{MAC}0.cfg", ""), ("000000000000.cfg", ""), ("0000000001aa.cfg", ""), ("000000001aaa.cfg", "000000001aaa"),
        (f"000000000000-{MAC}.cfg", MAC), (f"{MAC}-{OTHER}.cfg", MAC), (f"spaspa{MAC}.xml", ""), ("001565aabbc.cfg", ""), (f"{MAC}_reg.cfg", MAC),
    ],
)  # fmt: skip
def test_the_mac_of_a_name(file: str, mac: str) -> None:
    assert Paths().parse("", f"/p/{file}") == Asked("", file, mac)


@pytest.mark.parametrize("known", range(len(ALL)))
def test_a_path_has_a_bound(known: int) -> None:
    padding = "/" * (1024 - len(f"/p/{FILE}"))
    assert ALL[known].parse(HOST, f"/p/{padding}{FILE}") == Asked("", FILE, MAC)
    assert ALL[known].parse(HOST, f"/p/{padding}/{FILE}") is None


PIECES = [
    "/",
    "//",
    "p",
    "%",
    "%2f",
    "%00",
    "%ff",
    "..",
    MAC,
    HERE,
    "\x00",
    "\udcff",
    "é",
    ".cfg",
    "prov/cfg/",
    "*",
    HOST,
    ":80",
    "x",
]
ANY = st.one_of(
    st.text(st.characters()),
    st.text(st.characters()).map("/p/".__add__),
    st.lists(st.sampled_from(PIECES)).map("".join),
    st.lists(st.sampled_from(PIECES)).map(lambda some: "/" + "".join(some)),
)  # fmt: skip


@given(st.sampled_from(ALL), ANY, ANY)
@example(ALL[2], "", "*")
@example(ALL[2], "", "/p/\udcff")
def test_any_path_is_read_or_refused(known: Paths, host: str, path: str) -> None:
    asked = known.parse(host, path)
    if asked is None:
        return
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,127}", asked.file)
    assert asked.account == "" or re.fullmatch(r"[0-9a-z]{32}", asked.account)
    assert asked.mac == "" or re.fullmatch(r"[0-9a-f]{12}", asked.mac)
    folder = f"{asked.mac}/" if asked.account and asked.mac and asked.mac not in asked.file else ""
    again = known.parse(host, f"/p/{asked.account}/{folder}{asked.file}")
    if asked.account or not asked.mac or asked.mac in asked.file:
        assert again == asked._replace(legacy=False)


NAMES = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=128).filter(
    lambda name: name[0] not in "._-"
)


@given(st.sampled_from(ALL), st.sampled_from(["", HERE, THERE]), NAMES)
def test_every_name_can_be_asked_for(known: Paths, account: str, name: str) -> None:
    asked = known.parse(HOST, f"/p/{account}/{name}")
    assert asked is not None
    assert asked[:2] == (account, name.lower())
    assert not asked.legacy
