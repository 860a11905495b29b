"""Speed, as ratios of series that were measured in turn in one run. Absolute figures are the machine's."""

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jinja2

from kazoo_provisioner.catalogue.load import load
from kazoo_provisioner.catalogue.models import Model
from kazoo_provisioner.model.ids import db_of_account
from kazoo_provisioner.model.phone import Phone
from kazoo_provisioner.render import samples
from kazoo_provisioner.render.engine import Renderer
from tests.benchmarks import couch
from tests.support import couchdb, kazoo
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
        loader=jinja2.FileSystemLoader(renderer.catalogue.root), trim_blocks=True, lstrip_blocks=True
    )

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
                    phone=phone, model=model, family=family.spec, names=names, file_name="x"
                )

    return render


def render_ratio(renderer: Renderer) -> dict[str, float]:
    models = [
        model for family in renderer.catalogue.families.values() for model in list(family.models.values())[:4]
    ]
    plain = bare(renderer)

    def ours() -> None:
        for model in models:
            renderer.phone_files(samples.full(model), model)

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


def load_time() -> dict[str, float]:
    times = []
    for _ in range(5):
        started = time.perf_counter()
        catalogue = load()
        middle = time.perf_counter()
        Renderer(catalogue)
        times.append((middle - started, time.perf_counter() - middle))
    return {
        "load_ms": statistics.median(a for a, _ in times) * 1e3,
        "compile_ms": statistics.median(b for _, b in times) * 1e3,
    }


def main() -> None:
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    renderer = Renderer(load())
    results = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "a phone's files, all lines and keys / bare Jinja2 of the same templates": render_ratio(renderer),
        "a phone from document to served / rendering it": writer_ratio(renderer),
        "catalogue": load_time(),
    }
    if couchdb.installed():
        results |= couch.figures(renderer, bare(renderer, couch.like_the_fleet))
    for name, figures in results.items():
        text = figures if isinstance(figures, str) else ", ".join(f"{k} {v:.2f}" for k, v in figures.items())
        print(f"{name}: {text}")
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "var/bench.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
