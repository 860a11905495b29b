"""Phones that ask for their files all the time, and look closely at what they get."""

import contextlib
import hashlib
import random
import threading
import urllib.error
from typing import Self

from tests.support.service import Service


class Pollers:
    """Phones that ask for their files all the time; keeps what was wrong with an answer."""

    def __init__(self, service: Service, phones: list[tuple[str, str]]) -> None:
        self._service, self._phones = service, phones
        self.wrong: list[str] = []
        self.served = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._poll, args=(seed,), daemon=True) for seed in range(3)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _poll(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self._stop.is_set():
            account, address = chance.choice(self._phones)
            with contextlib.suppress(urllib.error.URLError, OSError):  # nobody listens while all is dead
                got = self._service.get(f"/p/{account}/{address}.cfg")
                if got.status == 200:
                    self.served += 1
                    self._check(address, got.body, got.headers["ETag"].strip('"'))
                elif got.status not in (404, 503):
                    self.wrong.append(f"{address}: status {got.status}")

    def _check(self, address: str, body: bytes, etag: str) -> None:
        if hashlib.sha256(body).hexdigest()[:32] != etag:
            self.wrong.append(f"{address}: a torn file of {len(body)} bytes")
        number = int(address[6:], 16) - 1
        if b"account.1.enable" in body and f"user_{number:06d}\n".encode() not in body:
            self.wrong.append(f"{address}: another phone's file")
        if not body:
            self.wrong.append(f"{address}: an empty 200")
