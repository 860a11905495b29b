"""What an operator wants to know of a cluster before the first start. Nothing is changed in it."""

import asyncio
from collections import Counter
from collections.abc import Collection

from msgspec.structs import replace

from kazoo_provisioner.model.ids import ACCOUNTS_DB, account_of_db, is_followed
from kazoo_provisioner.settings import SourceSettings
from kazoo_provisioner.sources.base import Change, Inbox, Report, Stored
from kazoo_provisioner.sources.couch.cluster import Cluster
from kazoo_provisioner.sources.couch.errors import CouchError
from kazoo_provisioner.sources.couch.known import Known
from kazoo_provisioner.sources.couch.read import Reader
from kazoo_provisioner.sources.couch.server import Server
from kazoo_provisioner.sources.couch.source import tls_of

SAMPLE = 200
"""Account databases that are read to count devices; with more, the rest is estimated from these."""


class _Nothing:
    """The memory of somebody who has read nothing."""

    def held(self, _db: str) -> dict[str, str]:
        return {}

    def databases(self) -> list[str]:
        return []

    def positions(self) -> dict[str, Stored]:
        return {}


async def check(settings: SourceSettings, held: Collection[str] = ()) -> Report:
    """Ask every node of a cluster who it is, and count what the first that answers holds.

    `held`: the databases of which the store holds documents already.

    Raises:
        SettingsError: the certificates cannot be read.
    """
    report = Report()
    tls = tls_of(settings)
    lost: list[str] = []
    counted = False
    for url in settings.couch.urls:
        async with Cluster(replace(settings.couch, urls=(url,)), tls) as cluster:
            try:
                server = await cluster.connect()
                report.facts += _described(server)
                report.doubts += _doubts(server)
                if not counted:
                    await _count(cluster, server, settings, report, held)
                    counted = True
            except CouchError as error:
                lost.append(f"{url}: {error}. {_advice(str(error), url)}")
    if counted:
        report.doubts += lost  # the others do
    else:
        report.problems += lost
    return report


def _described(server: Server) -> list[str]:
    name = "BigCouch, as CouchDB" if server.bigcouch else "CouchDB"
    how = "by _db_updates" if server.updates is None else "by asking every database in turn"
    return [
        f"{server.url}: {name} {server.version}, reachable, lets us read",
        f"{server.url}: changes are noticed {how}",
    ]


def _doubts(server: Server) -> list[str]:
    found = []
    if server.updates is not None:
        advice = {
            "there is no database _global_changes": "A server admin creates it: PUT /_global_changes.",
            "the user is no server admin": "Give source.couch.user a server admin.",
        }.get(server.updates, "That is how this version is.")
        found.append(
            f"{server.url}: no _db_updates: {server.updates}. Changes arrive within source.couch.sweep_alone "
            f"seconds instead of one. {advice}"
        )
    if not server.lists:
        found.append(
            f"{server.url}: the user may not list the databases. Accounts are found by the documents in "
            "`accounts` alone. Give source.couch.user a server admin."
        )
    return found


def _advice(said: str, url: str) -> str:
    if "certificate" in said:
        return "Name the authority's certificate in source.couch.ca, and the node as its certificate does."
    if "no account database" in said:
        return "Is this the cluster where Kazoo keeps its accounts (port 5984, or 15984 behind HAProxy)?"
    if "refuses" in said:
        return "Mend source.couch.user, password and auth; the user must be allowed to read the database `accounts`."
    if "answered 404" in said or "no CouchDB" in said:
        return "Is there more in source.couch.urls than the server, such as /_utils?"
    if "answered 5" in said:
        return "It runs, but fails; look into CouchDB's own log."
    if "TLS" in said or "without an answer" in said:
        return f"Is it {'http' if url.startswith('https') else 'https'}?"
    return "Is it running, and is source.couch.urls right?"


async def _count(
    cluster: Cluster, server: Server, settings: SourceSettings, report: Report, held: Collection[str]
) -> None:
    known = Known(Inbox(max_bytes=1 << 62), _Nothing(), lambda: 0.0)
    if server.lists:
        for name in filter(is_followed, await cluster.names()):
            known.get(name)
    reader = Reader(cluster, known, settings)
    kinds: Counter[str] = Counter()
    await _kinds(cluster, reader, known, ACCOUNTS_DB, kinds)  # finds accounts where we may not list
    accounts = sorted(name for name in known.databases if account_of_db(name))
    if not accounts:
        raise CouchError("holds no account database")
    kinds.clear()
    unreadable: dict[str, list[str]] = {}
    for name in accounts[:SAMPLE]:
        try:
            await _kinds(cluster, reader, known, name, kinds)
        except CouchError as error:
            unreadable.setdefault(str(error), []).append(name)
    devices, about = kinds["device"], ""
    if len(accounts) > SAMPLE:
        devices, about = round(devices * len(accounts) / SAMPLE), "about "
    report.facts.append(
        f"{server.url}: {len(accounts)} account databases, {about}{devices} devices with a MAC address"
    )
    for problem, names in unreadable.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        report.problems.append(
            f"{server.url}: {', '.join(names[:3])}{more}: {problem}. {_advice(problem, server.url)}"
        )
    strange = sorted(name for name in held if account_of_db(name) and name not in known.databases)
    if strange:
        report.doubts.append(
            f"{server.url}: the store holds documents of {len(strange)} account databases that are not there, such as "
            f"{strange[0]}. Their phones will be withdrawn. Is this the right cluster?"
        )
    if not devices:
        report.doubts.append(f"{server.url}: no device has a MAC address; nothing would be served")


async def _kinds(cluster: Cluster, reader: Reader, known: Known, name: str, kinds: Counter[str]) -> None:
    """Read a database and count what it holds."""
    mark = await cluster.info(name)
    if mark is None:
        return
    await reader.whole(known.get(name), mark)
    for event in known.inbox.take(1 << 30):
        if (
            isinstance(event, Change)
            and event.kept
            and (event.kept[0] != "device" or "mac_address" in event.kept[1])
        ):
            kinds[event.kept[0]] += 1
    await asyncio.sleep(0)
