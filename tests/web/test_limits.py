"""Who asks for too much in vain is limited, and phones that are known where they are do not suffer from it."""

from pathlib import Path

import pytest

from kazoo_provisioner.store.reader import Served
from tests.support.kazoo import account_id
from tests.support.raw import Response
from tests.web.serving import COMMON, HERE, MAC, OTHER_MAC, OURS, OWN, Serving
from tests.web.test_notes import LIMIT, broken, fail, mended, stored

GUESS = "/p/001565{:06x}.cfg"
AGENT = "User-Agent: Yealink SIP-T46G 28.72.0.1 00:15:65:aa:bb:cc"


async def ask(serving: Serving, path: str, *headers: str) -> Response:
    got = await serving.get(path, *headers)
    await serving.notes.flush()
    return got


async def test_who_guesses_gets_429(tmp_path: Path) -> None:
    """But not its known phones, and common files are for everybody. Other addresses are not concerned."""
    async with Serving(tmp_path, **LIMIT) as serving:
        assert (await ask(serving, OURS)).body == OWN
        guesses = [(await ask(serving, GUESS.format(number))).status for number in (1, 1, 2, 2, 1, 3)]
        assert guesses == [404] * 6
        refused = await ask(serving, GUESS.format(4))
        assert (refused.status, refused.body, refused.headers["Retry-After"]) == (429, b"Too many\n", "600")
        assert (await ask(serving, GUESS.format(1))).status == 429
        assert (await ask(serving, f"/p/{HERE}/{OTHER_MAC}.cfg")).status == 429
        assert (
            await ask(serving, "/p/none.xml")
        ).status == 404  # it names no phone: that tells nobody anything
        assert (await ask(serving, COMMON)).status == 200
        assert (await ask(serving, OURS)).status == 200
        assert (await ask(serving, OURS, 'If-None-Match: "own"')).status == 304
        assert (await ask(serving, "/p/api/phones")).status == 200
        assert (await serving.get(f"/p/{HERE}/{OTHER_MAC}.cfg", remote="127.0.0.2")).body == OWN
        assert len(serving.said("address_limited")) == 1
        kinds = {line["reason"]: line["log_level"] for line in serving.said("phone_request")}
        assert (kinds["limited"], kinds["served"], kinds["unknown_mac"]) == ("debug", "info", "info")


@pytest.mark.parametrize(
    ("paths", "counts"),
    [
        ([f"/p/{account_id(n)}/{MAC}.cfg" for n in (5, 6, 7)], True),
        (["/x", "/y", "/z"], True),
        ([f"/p/{account_id(5)}/{MAC}{end}.cfg" for end in ("", "-a", "-b", "-c")], False),
        (["/x" * 40, "/x" * 41, "/x" * 42], False),
        ([f"/p/{HERE}/{MAC}-{n}.cfg" for n in range(9)], False),
        ([f"/p/none{n}.xml" for n in range(9)], False),
        ([f"/p/{account_id(n)}/none.xml" for n in range(5, 9)], False),
        ([f"/p/api/{n}" for n in range(9)], False),
        ([OURS, COMMON, "/p/a", "/p/b"], False),
    ],
)
async def test_what_counts(tmp_path: Path, paths: list[str], *, counts: bool) -> None:
    """Different phones, and paths that cannot be. Not what a known phone asks for in vain, nor names of no phone."""
    async with Serving(tmp_path, **LIMIT) as serving:
        for path in paths:
            await ask(serving, path)
        assert bool(serving.notes.limited) is counts


async def test_nobody_vouches_for_a_phone_by_a_common_file(tmp_path: Path) -> None:
    """Somebody else's MAC address in the User-Agent, or in a folder, does not make that phone known here."""
    async with Serving(tmp_path, **LIMIT) as serving:
        assert (await ask(serving, COMMON, AGENT)).status == 200
        assert (await ask(serving, f"/p/{HERE}/{MAC}/y000000000028.cfg")).status == 200
        assert (await ask(serving, f"/p/{HERE}/{OTHER_MAC}.cfg", AGENT)).status == 200
        found = stored(tmp_path / "store")
        assert [(one.file, one.own) for one in found.requests(MAC)] == [("y000000000028.cfg", 0)] * 2
        assert found.requests(OTHER_MAC)[0].own == 1
        assert (found.places(MAC), found.places(OTHER_MAC)) == ([], ["127.0.0.1"])
        found.close()
        for number in range(3):
            await ask(serving, GUESS.format(number))
        assert (await ask(serving, OURS, AGENT)).status == 429
        assert (await ask(serving, f"/p/{HERE}/{OTHER_MAC}.cfg")).status == 200


async def test_an_own_file_without_its_mac_in_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only by its name a file says whose it is: not by the folder that was asked for, nor by the User-Agent."""
    async with Serving(tmp_path) as serving:
        find = serving.reader.find
        monkeypatch.setattr(
            serving.reader, "find", lambda scope, name, held="": find(scope, f"{MAC}.cfg", held)
        )
        for path in (f"/p/{HERE}/{OTHER_MAC}/x.cfg", f"/p/{HERE}/x.cfg"):
            assert (await ask(serving, path, AGENT)).body == OWN
        found = stored(tmp_path / "store")
        assert [one.own for mac in (MAC, OTHER_MAC) for one in found.requests(mac)] == [0, 0]
        # Nor is it the phone's own because it has such a name.
        served = Served("x", "text/plain", "t46", 0, b"")
        monkeypatch.setattr(serving.reader, "find", lambda *_: served)
        assert (await ask(serving, f"/p/{HERE}/{MAC}.xml")).body == b""
        assert (found.requests(MAC)[0].file, found.requests(MAC)[0].own) == (f"{MAC}.xml", 0)
        found.close()


async def test_requests_are_answered_without_the_file(tmp_path: Path) -> None:
    async with Serving(tmp_path, **LIMIT) as serving:
        broken(tmp_path / "store")
        for path, status in ((OURS, 200), (COMMON, 200), (GUESS.format(1), 404), (OURS, 200)):
            assert (await ask(serving, path)).status == status
        assert len(serving.said("access_unavailable")) == 1
        mended(tmp_path / "store")
        assert (await ask(serving, OURS)).status == 200
        assert len(serving.said("access_available")) == 1
        found = stored(tmp_path / "store")
        assert found.tallies()["requests phone 200 served"] == 4
        assert found.places(MAC) == ["127.0.0.1"]
        found.close()


async def test_a_store_in_trouble_makes_nobody_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A phone that was known at its address is still, after it was told to come later."""
    async with Serving(tmp_path, **LIMIT) as serving:
        await ask(serving, OURS)
        for number in range(3):
            await ask(serving, GUESS.format(number))
        with monkeypatch.context() as patch:
            patch.setattr(serving.reader, "find", fail)
            assert (await ask(serving, OURS)).status == 503
        assert (await ask(serving, OURS)).status == 200
        assert (await ask(serving, f"/p/{HERE}/{OTHER_MAC}.cfg")).status == 429
