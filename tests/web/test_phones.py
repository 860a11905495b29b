"""Paths and validators: any bytes in, a known answer out."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kazoo_provisioner.catalogue.load import load
from kazoo_provisioner.store.reader import Served
from kazoo_provisioner.store.schema import StoreUnavailableError
from kazoo_provisioner.web import api
from kazoo_provisioner.web.paths import Asked, Paths
from kazoo_provisioner.web.phones import Answer, Phones
from tests.support.kazoo import account_id

HERE = account_id(1)
MAC = "001565aabbcc"


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (f"/p/{MAC}.cfg", Asked("", f"{MAC}.cfg", MAC)),
        (f"/P/{MAC.upper()}.CFG", Asked("", f"{MAC}.cfg", MAC)),
        (f"/p/{HERE}/{MAC}.cfg", Asked(HERE, f"{MAC}.cfg", MAC)),
        (f"/p/{HERE}/{MAC.upper()}/{MAC}.cfg", Asked(HERE, f"{MAC}.cfg", MAC)),
        (f"/p/{HERE}/{MAC}/phonebook.xml", Asked(HERE, "phonebook.xml", MAC)),
        (f"/p/{HERE}/y000000000028.cfg", Asked(HERE, "y000000000028.cfg", "")),
        ("/p/000000000000.cfg", Asked("", "000000000000.cfg", "")),
        ("/p/000000000000-directory.xml", Asked("", "000000000000-directory.xml", "")),
        (f"/p/{MAC}-directory.xml", Asked("", f"{MAC}-directory.xml", MAC)),
        (f"/p/snom300-{MAC}.htm", Asked("", f"snom300-{MAC}.htm", MAC)),
        (f"/p/%30%30{MAC[2:]}.cfg", Asked("", f"{MAC}.cfg", MAC)),
        (f"/p///{HERE}//{MAC}.cfg", Asked(HERE, f"{MAC}.cfg", MAC)),
    ],
)  # fmt: skip
def test_paths(path: str, asked: Asked) -> None:
    assert Paths().parse("", path) == asked


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/p", "/p/", "/x/001565aabbcc.cfg", "/p/../etc/passwd", "/p/..", "/p/.", "/p/.hidden", "/p/a b", "/p/a%00b",
        f"/p/{HERE}", f"/p/{HERE}/", f"/p/{HERE[:-1]}/{MAC}.cfg", f"/p/{HERE}/{MAC}/x/y", f"/p/{HERE}/nomac/{MAC}.cfg",
        f"/p/{HERE}/001565aabbcd/{MAC}.cfg", "/p/" + "a" * 129, "/p/caf%C3%A9", "/p/%FF", "/p/a;b", "/p/a=b", "/p/a\nb",
    ],
)  # fmt: skip
def test_paths_that_name_nothing(path: str) -> None:
    asked = Paths().parse("", path)
    # An account id alone is a name like any other, of a file that nobody has.
    assert asked is None or (path == f"/p/{HERE}" and asked.file == HERE)


@given(
    st.one_of(
        st.text(),
        st.text().map("/p/".__add__),
        st.lists(st.sampled_from(["/", "p", "%", "2f", "..", MAC, HERE, "\x00", ".cfg"])).map("".join),
    )
)
def test_any_path_is_read_or_refused(path: str) -> None:
    asked = Paths().parse("", path)
    if asked:
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,127}", asked.file)
        assert asked.account == "" or re.fullmatch(r"[0-9a-z]{32}", asked.account)
        assert asked.mac == "" or re.fullmatch(r"[0-9a-f]{12}", asked.mac)


class OneFile:
    """A reader that has one phone's file, one common one, and then trouble."""

    broken = False

    def find(self, scope: str, name: str, held: str = "") -> Served | None:
        if self.broken:
            raise StoreUnavailableError("disk")
        known = {
            (HERE, f"{MAC}.cfg"): True,
            ("", f"{MAC}.cfg"): True,
            ("", "common.cfg"): False,
            (HERE, "book.xml"): False,
        }
        known |= {(HERE, f"ata{MAC}.xml"): True, ("", f"ata{MAC}.xml"): True}
        sensitive = known.get((scope, name))
        return None if sensitive is None else Served(
            "e" * 32, "text/plain", "t46", sensitive, None if held == "e" * 32 else b"x"
        )  # fmt: skip

    def is_synced(self) -> bool:
        return True

    def why_not(self, account: str, mac: str) -> str:
        return "unknown_mac"


def made(reader: OneFile, *, bare: bool = True) -> Phones:
    return Phones(reader, Paths(), serve_without_account=bare)  # type: ignore[arg-type]


def ask(phones: Phones, path: str, header: str | None = None) -> Answer:
    return phones.answer("GET", "prov.example.com", path, header)


def statuses(phones: Phones, *paths: str) -> list[int]:
    return [ask(phones, path).reply.status for path in paths]


def test_scopes() -> None:
    """A common file is served below any account; a phone's only below its own, or without one where allowed."""
    phones = made(OneFile())
    other = account_id(2)
    assert statuses(phones, f"/p/{HERE}/common.cfg", f"/p/{other}/common.cfg", "/p/common.cfg") == [
        200,
        200,
        200,
    ]
    assert statuses(phones, f"/p/{HERE}/{MAC}.cfg", f"/p/{other}/{MAC}.cfg", f"/p/{MAC}.cfg") == [
        200,
        404,
        200,
    ]
    assert statuses(
        phones,
        f"/p/{HERE}/{MAC}/common.cfg",
        f"/p/{HERE}/{MAC}/book.xml",
        f"/p/{other}/book.xml",
        "/p/book.xml",
    ) == [200, 200, 404, 404]
    closed = made(OneFile(), bare=False)
    assert statuses(closed, f"/p/{HERE}/{MAC}.cfg", f"/p/{MAC}.cfg", "/p/common.cfg") == [200, 404, 200]
    # Whatever the name looks like: what was made for a phone is that phone's.
    assert statuses(closed, f"/p/{HERE}/ata{MAC}.xml", f"/p/ata{MAC}.xml", f"/p/{other}/ata{MAC}.xml") == [
        200,
        404,
        404,
    ]


def test_a_store_in_trouble_is_503() -> None:
    reader = OneFile()
    reader.broken = True
    answer = ask(made(reader), f"/p/{MAC}.cfg")
    assert (answer.reply.status, answer.reason) == (503, "store_unavailable")
    assert "Retry-After: " in answer.reply.parts[1]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f'"{"e" * 32}"', 304),
        (f'W/"{"e" * 32}"', 304),
        (f'"a", "{"e" * 32}"', 304),
        ("*", 304),
        ('"x"', 200),
        ("e" * 32, 200),
        ("", 200),
        (",,,", 200),
    ],
)
def test_if_none_match(header: str, status: int) -> None:
    phones = made(OneFile())
    answer = ask(phones, f"/p/{MAC}.cfg", header)
    assert answer.reply.status == status
    assert f'ETag: "{"e" * 32}"\r\n' in answer.reply.parts[1]
    assert answer.reply.content == (b"x" if status == 200 else b"")


def test_the_catalogue_keeps_to_what_the_uis_can_read() -> None:
    """Old kazoo-ui finds a family by its model's id; Monster-UI's chooseModel spoils brands with - or _."""
    data = api.phones(load())
    seen: set[str] = set()
    for brand, one in data.items():
        assert re.fullmatch(r"[a-z0-9]+", brand)
        for family, group in one["families"].items():
            assert not family.startswith("f")
            assert not re.fullmatch(r"[0-9.]+(e[0-9]+)?", family)
            for model, entry in group["models"].items():
                assert model not in seen
                seen.add(model)
                assert entry["id"] == entry["template_id"] == model
    assert "t22" in data["yealink"]["families"]["t2x"]["models"]
