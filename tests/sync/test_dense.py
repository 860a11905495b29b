"""Busy days, by plain chance: what the state machine's rules reach too seldom."""

import random
from pathlib import Path

from kazoo_provisioner import crashpoints
from kazoo_provisioner.render.engine import Renderer
from tests.support import tiny
from tests.sync.test_convergence import Convergence

OPERATIONS = ["account", "user", "user", "device", "device", "device", "device", "flow", "ring", "delete"]


def one_run(seed: int) -> None:
    """A busy day without Hypothesis: denser than its rules, and a seed is all that a failure needs."""
    chance = random.Random(seed)
    world = Convergence()
    try:
        world.cluster(seed)
        for _ in range(chance.randrange(5, 60)):
            what = chance.random()
            pending = sorted(world.pending)
            if what < 0.45:
                world._anybody(chance, chance.choice(OPERATIONS))
            elif what < 0.65 and pending:
                world._send(chance.sample(pending, chance.randrange(1, min(len(pending), 8) + 1)))
            elif what < 0.68:
                world.restart()
            elif what < 0.70:
                world.replay()
            elif what < 0.75:
                world._crash(
                    chance.choice(crashpoints.POINTS),
                    chance.randrange(1, 5),
                    chance.sample(pending, len(pending)),
                )
            else:
                world.work(chance.choice([1, 100, 300, 5_000]))
            world.nobody_gets_anothers_file()
    finally:
        world.teardown()


def test_dense_days(soak: int, tmp_path: Path) -> None:
    Convergence.renderer = Renderer(tiny.catalogue(tmp_path))
    first = random.SystemRandom().randrange(2**32) if soak else 0
    for seed in range(first, first + (soak or 400)):
        try:
            one_run(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error
