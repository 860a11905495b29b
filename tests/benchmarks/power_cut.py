"""After a power cut: 20,000 phones at once, each asks for four files, half of them know what they have.

boot, common and own file, and one that phones of that make ask for and that is not there. First every one of the 80,000
answers is looked at, by a client of ours; then the rate, by wrk, with the same requests in the same order.
"""

import math
import random
from collections.abc import Iterator
from functools import partial

from kazoo_provisioner.catalogue.load import load
from tests.benchmarks import bare
from tests.benchmarks.client import Ask, ask_all
from tests.benchmarks.fleets import Bench, Fleet
from tests.benchmarks.loads import (
    CLIENT,
    SERVER,
    Load,
    costing,
    in_turn,
    installed,
    pinned,
    write_requests,
    wrk,
)
from tests.benchmarks.serve import compare, serving
from tests.benchmarks.table import Row
from tests.support import kazoo

CONNECTIONS = 256


def four(fleet: Fleet) -> Iterator[list[Ask]]:
    """What each phone asks for, the phones in any order."""
    catalogue = load()
    common = {}
    for brand, name in kazoo.MODELS:
        model = catalogue.resolve(brand, name)
        assert model
        common[name] = f"y000000000{model.vars['code']}.cfg" if brand == "yealink" else "000000000000.cfg"
    phones = list(enumerate(fleet.phones))
    random.Random(1).shuffle(phones)
    for number, (account, mac) in phones:
        brand, name = kazoo.MODELS[number % len(kazoo.MODELS)]
        yealink = brand == "yealink"
        names = (
            f"{mac}.boot" if yealink else f"{mac}.cfg",
            common[name],
            f"{mac}.cfg" if yealink else f"{mac}-reg.cfg",
            f"{mac}-local.cfg" if yealink else f"{mac}-web.cfg",
        )
        yield [ask(fleet, account, name, has_it=number // len(kazoo.MODELS) % 2 == 0) for name in names]


def ask(fleet: Fleet, account: str, name: str, *, has_it: bool) -> Ask:
    file = fleet.files.get(f"{account}/{name}") or fleet.files.get(name)
    path = f"/p/{account}/{name}"
    return Ask(path, file.etag, file.size, has_it) if file else Ask(path, "", 0, has_it=False)


def too_many(load: Load, absent: float) -> int:
    """How many more answers were above 399, which is all that wrk counts, than there are absent files."""
    chance = 0.02 + 2 / math.sqrt(load.requests)  # a round ends somewhere among the phones
    more = load.refused / load.requests - absent
    return round(more * load.requests) if more > chance else 0


def figures(bench: Bench) -> list[Row]:
    fleet, scale = bench.many, bench.scale
    phones = list(four(fleet))
    asks = [one for phone in phones for one in phone]
    absent = sum(not one.etag for one in asks) / len(asks)
    requests = write_requests(bench.folder / "cut", ((a.path, a.etag if a.has_it else "") for a in asks))
    mix = bench.folder / "mix"
    mix.write_text("".join(f"{a.path}\t{200 if a.etag else 404}\t{a.etag}\t{a.size}\n" for a in asks))
    with serving(fleet.service(workers=1), SERVER) as ours, bare.running("mix", mix) as (plain, pids):
        with pinned(CLIENT):
            seen = ask_all(ours.base, phones, CONNECTIONS)
        options = {"connections": CONNECTIONS, "order": "turn"}
        found = (
            in_turn(
                scale.rounds, scale.seconds,
                {
                    "bare": costing(pids, partial(wrk, plain, requests, **options)),
                    "ours": costing(ours.processes(), partial(wrk, ours.base, requests, **options)),
                },
            )
            if installed() else {}
        )  # fmt: skip
    ours_seen = found.get("ours", [])
    if said_no := max((too_many(load, absent) for load in ours_seen), default=0):
        seen.wrong["more than the absent files refused, to wrk"] = said_no
    bad = sum(seen.wrong.values()) + sum(load.broken for load in ours_seen)
    counts = {f"status_{status}": float(count) for status, count in sorted(seen.statuses.items())}
    rates = compare(found, "ours", "bare") if found else {}
    said = "; ".join(f"{what}: {count}" for what, count in seen.wrong.most_common(5))
    return [
        Row(
            f"power cut: {len(phones):,} phones ask {len(asks):,} times, {CONNECTIONS} at once, {absent:.0%} absent",
            "bare aiohttp, the same mix and sizes",
            rates | counts | {"wrong": float(bad)},
            "no 5xx, no wrong body", "no" if bad or max(seen.statuses) >= 500 else "yes",
            said or ("" if found else "wrk is not installed (make bench-deps)"),
        )
    ]  # fmt: skip
