"""The queue of databases to visit."""

import asyncio

import pytest

from kazoo_provisioner.sources.couch.visits import Visits


async def take(visits: Visits, *, background: bool = False) -> str | None:
    try:
        return await asyncio.wait_for(visits.next(background=background), 0.01)
    except TimeoutError:
        return None


async def test_in_order_and_each_once() -> None:
    visits = Visits()
    for name in ("b", "a", "b", "c", "a"):
        visits.want(name)
    assert visits.waiting == 3
    assert [await take(visits) for _ in range(4)] == ["b", "a", "c", None]
    assert visits.busy == ["b", "a", "c"]


async def test_never_two_visits_to_one_at_a_time() -> None:
    """What moves while it is visited is visited again, afterwards."""
    visits = Visits()
    visits.want("a")
    assert await take(visits) == "a"
    visits.want("a")
    visits.want("a", background=True)
    assert await take(visits) is None
    assert await take(visits, background=True) is None
    visits.done("a")
    assert await take(visits) == "a"
    visits.done("a")
    assert await take(visits) is None


async def test_those_who_wait_are_woken() -> None:
    visits = Visits()
    waiting = [asyncio.create_task(visits.next()) for _ in range(3)]
    back = asyncio.create_task(visits.next(background=True))
    await asyncio.sleep(1)
    visits.want("a")
    visits.want("b")
    visits.want("c", background=True)
    visits.want("a")
    await asyncio.sleep(1)
    assert {t.result() for t in waiting if t.done()} == {"a", "b"}
    assert back.result() == "c"
    visits.want("a")
    await asyncio.sleep(1)
    assert sum(t.done() for t in waiting) == 2
    visits.done("a")
    await asyncio.sleep(1)
    assert [t.result() for t in waiting].count("a") == 2


async def test_background_waits_for_nobody() -> None:
    visits = Visits()
    visits.want("a", background=True)
    assert (visits.waiting, visits.audits) == (0, 1)
    assert await take(visits) is None
    visits.want("a")
    assert (visits.waiting, visits.audits) == (1, 0)
    visits.want("a", background=True)
    assert (visits.waiting, visits.audits) == (1, 0)
    assert await take(visits) == "a"


async def test_later() -> None:
    visits = Visits()
    visits.later("a", 5)
    await asyncio.sleep(4)
    assert not visits.waiting
    await asyncio.sleep(2)
    assert await take(visits) == "a"


async def test_later_is_not_needed_when_somebody_comes_before() -> None:
    visits = Visits()
    visits.later("a", 5)
    visits.want("a")
    assert await take(visits) == "a"
    visits.done("a")
    await asyncio.sleep(10)
    assert not visits.waiting


async def test_the_sooner_of_two_counts() -> None:
    """A long pause after a failure does not hold up the second look at what is absent."""
    visits = Visits()
    visits.later("a", 300)
    visits.later("a", 5)
    await asyncio.sleep(6)
    assert visits.waiting


async def test_close() -> None:
    visits = Visits()
    visits.later("a", 5)
    visits.close()
    await asyncio.sleep(10)
    assert not visits.waiting


async def test_lag() -> None:
    visits = Visits()
    assert visits.lag() == 0
    visits.want("b", background=True)
    await asyncio.sleep(5)
    assert visits.lag() == 0
    visits.want("a")
    await asyncio.sleep(3)
    assert visits.lag() == pytest.approx(3)
    await take(visits)
    await asyncio.sleep(3)
    assert visits.lag() == pytest.approx(6, abs=0.1)
    visits.done("a")
    assert visits.lag() == 0


async def test_a_cancelled_wait_takes_nothing_with_it() -> None:
    visits = Visits()
    waiting = asyncio.create_task(visits.next())
    await asyncio.sleep(1)
    visits.want("a")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await take(visits) == "a"
