"""Speed, as ratios of series that were measured in turn in one run. Absolute figures are the machine's.

One table, each row with what it was measured against, and its target; and JSON of the same. ``--only`` picks groups.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jinja2
import structlog

from kazoo_provisioner.catalogue.folders import BUNDLED
from kazoo_provisioner.catalogue.load import load
from kazoo_provisioner.catalogue.models import Model
from kazoo_provisioner.model.ids import db_of_account
from kazoo_provisioner.model.phone import Phone
from kazoo_provisioner.render import samples
from kazoo_provisioner.render.engine import Renderer, ha1
from tests.benchmarks import couch, loads, power_cut, rerender, serve, starts
from tests.benchmarks.fleets import Bench, Scale
from tests.benchmarks.table import Row, as_json, at_most, machine, show
from tests.support import couchdb, kazoo, runlog
from tests.support.world import Harness

ROUNDS = 7
PHONES = 200


def series(one: Callable[[], None], other: Callable[[], None]) -> tuple[float, float, float]:
    """Run two pieces of work in turn; return the median seconds of each and the median of the ratios."""
    times: list[tuple[float, float]] = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        one()
        middle = time.perf_counter()
        other()
        times.append((middle - started, time.perf_counter() - middle))
    times = times[1:]  # the first round warms up
    return (
        statistics.median(a for a, _ in times),
        statistics.median(b for _, b in times),
        statistics.median(a / b for a, b in times),
    )


def bare(renderer: Renderer, sample: Callable[[Model], Phone] = samples.full) -> Callable[[Model], None]:
    """Jinja2 with nothing of ours: the same templates, defaults everywhere."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(BUNDLED), trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"display": str, "ha1": ha1}
    environment.globals["once"] = lambda macro, *arguments: macro(*arguments)
    phones: dict[str, Phone] = {}

    def render(model: Model) -> None:
        if model.id not in phones:
            phones[model.id] = sample(model)
        family = renderer.catalogue.family_of(model)
        phone = phones[model.id]
        for file in family.spec.files:
            if file.scope == "phone" and (not file.models or model.id in file.models):
                names = renderer._names(family, model, phone.mac)
                environment.get_template(f"{family.folder}/{file.template}").render(
                    phone=phone, model=model, family=family.spec, names=names, file_name="x", parameters=""
                )

    return render


def render_ratio(renderer: Renderer) -> dict[str, float]:
    models = [
        model for family in renderer.catalogue.families.values() for model in list(family.models.values())[:4]
    ]
    plain = bare(renderer)

    phones = [(samples.full(model), model) for model in models]  # the other side has them made, too

    def ours() -> None:
        for phone, model in phones:
            renderer.phone_files(phone, model)

    def theirs() -> None:
        for model in models:
            plain(model)

    mine, other, ratio = series(ours, theirs)
    return {"ours_ms": mine / len(models) * 1e3, "against_ms": other / len(models) * 1e3, "ratio": ratio}


def writer_ratio(renderer: Renderer) -> dict[str, float]:
    """Documents to served, all steps and the disk, against rendering the same phones and no more."""
    account = kazoo.account_id(1)
    db = db_of_account(account)
    documents = {(db, account): kazoo.account(account)}
    for number in range(PHONES):
        device = kazoo.device(f"devi{number:028d}", kazoo.mac(number + 1), model="t46g")
        documents[db, device["_id"]] = device
    model = renderer.catalogue.resolve("yealink", "t46g")
    assert model
    phone = samples.one(model)
    with tempfile.TemporaryDirectory() as folder:
        rounds = iter(range(10_000))

        def whole() -> None:
            harness = Harness(Path(folder) / f"store{next(rounds)}", renderer)
            harness.deliver(documents.items())
            for _ in range(PHONES):
                harness.now += 3_000
                if not harness.reconciler.run_due(harness.now):
                    break
            assert harness.store.releases.count() == PHONES
            harness.close()

        def render() -> None:
            for _ in range(PHONES):
                renderer.phone_files(phone, model)

        mine, other, ratio = series(whole, render)
    return {"ours_ms": mine / PHONES * 1e3, "against_ms": other / PHONES * 1e3, "ratio": ratio}


LOADING = """
import time
from pathlib import Path
from kazoo_provisioner.catalogue.load import load
from kazoo_provisioner.render.engine import Renderer
def anonymous():
    return next(int(l.split()[1]) for l in Path("/proc/self/status").read_text().splitlines() if l[:8] == "RssAnon:")
before, started = anonymous(), time.perf_counter()
catalogue = load()
middle = time.perf_counter()
renderer = Renderer(catalogue)
ended = time.perf_counter()
families = catalogue.families.values()
print(middle - started, ended - middle, (anonymous() - before) / len(families), sum(len(f.models) for f in families), len(families))
"""


def load_time() -> dict[str, float]:
    """Load and compile all models, each time in a process of its own, as a start does."""
    runs = []
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, check=True)
        runs.append([float(figure) for figure in done.stdout.split()])
    load_s, compile_s, kib, models, families = (
        statistics.median(column) for column in zip(*runs, strict=True)
    )
    return {
        "seconds": load_s + compile_s, "load_s": load_s, "compile_s": compile_s, "models": models,
        "families": families, "kib_of_each_family": kib,
    }  # fmt: skip


def rendering() -> list[Row]:
    renderer = Renderer(load())
    phone, loaded = render_ratio(renderer), load_time()
    return [
        Row(
            "render of a phone: all its files, lines and keys, escaping on",
            "bare Jinja2, the same templates", phone, "1.25 at most", at_most(phone["ratio"], 1.25),
        ),
        Row("a phone from document to served", "rendering it", writer_ratio(renderer)),
        Row(
            "catalogue: load and compile, and its memory", "-", loaded, "1.5 s at most",
            at_most(loaded["seconds"], 1.5),
        ),
    ]  # fmt: skip


def following() -> list[Row]:
    if not couchdb.installed():
        return [Row("CouchDB", note="the tests' CouchDB is not installed (make test installs it)")]
    renderer = Renderer(load())
    found = couch.figures(renderer, bare(renderer, couch.like_the_fleet))
    return [Row(*name.partition(" / ")[::2], figures) for name, figures in found.items()]


def with_wrk(work: Callable[[Bench], list[Row]]) -> Callable[[Bench], list[Row]]:
    """What cannot be measured without wrk says so."""
    if loads.installed():
        return work
    return lambda _bench: [
        Row(work.__module__.rpartition(".")[2], note="wrk is not installed (make bench-deps)")
    ]


GROUPS: dict[str, Callable[[Bench], list[Row]]] = {
    "render": lambda _bench: rendering(),
    "serve": with_wrk(serve.figures),
    "power": power_cut.figures,
    "rerender": with_wrk(rerender.figures),
    "starts": starts.figures,
    "couch": lambda _bench: following(),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--only", default="", help=f"some of {', '.join(GROUPS)}, with commas")
    arguments.add_argument("--out", type=Path, default=Path("var/bench.json"))
    given = arguments.parse_args()
    chosen = [name for name in given.only.split(",") if name] or list(GROUPS)
    if unknown := set(chosen) - set(GROUPS):
        arguments.error(f"there is no {', '.join(sorted(unknown))}")
    host, rows = machine(), []
    with tempfile.TemporaryDirectory() as folder:
        runlog.start(Path(folder) / "run.log")
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        bench = Bench(Path(folder), Scale())
        for name in chosen:
            began = time.perf_counter()
            rows += GROUPS[name](bench)
            print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
        # Before the folder goes: to remove so many files can take a while.
        print(f"\n{', '.join(f'{name} {value}' for name, value in host.items())}\n\n{show(rows)}", flush=True)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps({"machine": host, "rows": as_json(rows)}, indent=2) + "\n")


if __name__ == "__main__":
    main()
