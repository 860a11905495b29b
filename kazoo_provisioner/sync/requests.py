"""What a phone asked for last, in lines for an operator. From what the readers noted."""

import datetime as dt
from pathlib import Path

from kazoo_provisioner.model import text
from kazoo_provisioner.store.access import Access, Request
from kazoo_provisioner.store.schema import StoreError

_AGENT = 80


def last_requests(folder: Path, mac: str) -> list[str]:
    """Return lines about the last requests that name a MAC address; none where nothing was noted yet."""
    try:
        access = Access(folder, read_only=True)
    except StoreError:
        return []
    try:
        requests, (old, every) = access.requests(mac), access.old_urls()
    except StoreError as error:
        return ["", f"Last requests: not readable: {error}"]
    finally:
        access.close()
    if not requests:
        return ["", "Last requests: none."]
    lines = ["", "Last requests, one for each file", *(f"  {_line(one)}" for one in requests)]
    if requests[0].legacy:
        lines.append("This phone still asks by an old URL (web.legacy_paths).")
    if old:
        lines.append(f"{old} of {every} phones that got a file asked by an old URL last.")
    return lines


def _line(one: Request) -> str:
    at = dt.datetime.fromtimestamp(one.at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    under = f"account {one.account[:6]}…{one.account[-4:]}" if one.account else "no account"
    old = f", old URL at {text.name(one.host)}" if one.legacy else ""
    return (
        f"{at}  {one.status} {one.reason}  {one.file or '-'}  {under}{old}, from {one.remote}, "
        f"{text.name(one.agent[:_AGENT]) or 'no User-Agent'}"
    )
