"""What a phone asked for last, in lines for an operator. From what the readers noted."""

import datetime as dt
import time
from pathlib import Path

from kazoo_provisioner.catalogue.identify import Identifier
from kazoo_provisioner.model import text
from kazoo_provisioner.store.access import Access, Request
from kazoo_provisioner.store.schema import StoreError

_AGENT = 80
_LIMITED = 5
"""Limited addresses that are named."""


def last_requests(folder: Path, mac: str, who: Identifier) -> list[str]:
    """Return lines about the last requests that name a MAC address; none where nothing was noted yet."""
    try:
        access = Access(folder, read_only=True)
    except StoreError:
        return []
    try:
        requests, (old, every) = access.requests(mac), access.old_urls()
        limited = access.limited(time.time())
    except StoreError as error:
        return ["", f"Last requests: not readable: {error}"]
    finally:
        access.close()
    limits = [
        f"{address} is limited (429) until {_time(until)}: phones that got nothing there before get 429. "
        f"`kazoo-provisioner forgive {address.removesuffix('/64')}` ends it."
        for address, until in sorted(limited.items(), key=lambda one: -one[1])[:_LIMITED]
    ]
    if not requests:
        return ["", "Last requests: none.", *limits]
    lines = ["", "Last requests, one for each file", *(f"  {_line(one)}" for one in requests)]
    lines += limits
    for one in requests[:1]:
        seen = who.mismatch(one.model, one.agent) if one.model else None
        if seen:
            said = f"{seen.brand} {seen.model or seen.said}"
            lines.append(
                f"It calls itself {text.name(said)}, but gets the files of {one.model}, as its document says."
            )
    if requests[0].legacy:
        lines.append("This phone still asks by an old URL (web.legacy_paths).")
    if old:
        lines.append(f"{old} of {every} phones that got a file asked by an old URL last.")
    return lines


def _line(one: Request) -> str:
    at = _time(one.at)
    under = f"account {one.account[:6]}…{one.account[-4:]}" if one.account else "no account"
    old = f", old URL at {text.name(one.host)}" if one.legacy else ""
    return (
        f"{at}  {one.status} {one.reason}  {one.file or '-'}  {under}{old}, from {one.remote}, "
        f"{text.name(one.agent[:_AGENT]) or 'no User-Agent'}"
    )


def _time(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
