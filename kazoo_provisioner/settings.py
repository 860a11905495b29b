"""Settings: one YAML file into frozen, validated structs, one per room. An unknown key is an error.

config/kazoo-provisioner.yaml is a commented example of every setting; a test compares it with this file.
"""

import ipaddress
import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from kazoo_provisioner.layers import PhonesSettings
from kazoo_provisioner.yamlfile import Secret, SettingsError, convert, read_yaml

Seconds = Annotated[float, Meta(gt=0, le=86400)]


CouchUrl = Annotated[
    str, Meta(pattern=r"^https?://[A-Za-z0-9.\-_:\[\]]{1,253}(/[A-Za-z0-9._~\-/]{0,200})?\Z")
]


class CouchSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Kazoo's CouchDB or BigCouch cluster, and how gently we read it."""

    urls: Annotated[tuple[CouchUrl, ...], Meta(min_length=1, max_length=32)] = ("http://127.0.0.1:5984",)
    """The nodes of one cluster, in order of preference; or a proxy in front of them."""
    user: Annotated[str, Meta(pattern=r"^[^:\x00-\x1f\x7f]{1,128}\Z")] | None = None
    """A server admin, or somebody who may read the databases; none: nobody is asked for a name."""
    password: Secret | None = None
    auth: Literal["basic", "session"] = "basic"
    """``basic``: name and password with each request; ``session``: once, then a cookie, renewed."""
    ca: Path | None = None
    """Certificates (PEM) of the authority that signed the cluster's; none: the system's."""
    timeout: Seconds = 60
    """Seconds without a byte after which an answer is given up."""
    heartbeat: Seconds = 30
    """Seconds between two signs of life that we ask of an open feed."""
    readers: Annotated[int, Meta(ge=1, le=64)] = 4
    """Databases read at the same time."""
    feeds: Annotated[int, Meta(ge=0, le=1000)] = 200
    """Databases that moved lately whose feed is kept open; 0: none."""
    feed_idle: Seconds = 600
    """Seconds without a change after which a feed is closed."""
    sweep: Seconds = 300
    """Seconds in which every database is asked once whether it moved, beside ``_db_updates``."""
    sweep_alone: Seconds = 10
    """The same, where there is no ``_db_updates``."""
    sweep_rate: Annotated[float, Meta(gt=0, le=10000)] = 100
    """Most databases a second that such a sweep asks about."""
    sweep_rate_single: Annotated[float, Meta(gt=0, le=10000)] = 20
    """The same, where each must be asked by a request of its own (BigCouch, CouchDB 1, early 2)."""
    listing: Seconds = 3600
    """Seconds between two listings of all databases."""
    audit: Annotated[float, Meta(gt=0, le=365 * 86400)] = 86400
    """Seconds after which a database is read as a whole once more."""
    audit_rate: Annotated[float, Meta(gt=0, le=1000)] = 5
    """Most databases a second that are read as a whole for that."""
    confirm: Seconds = 10
    """Seconds between the two looks that must miss a document before it counts as deleted."""


class SourceSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where Kazoo's documents come from."""

    type: Literal["directory", "couch"] = "directory"
    path: Path = Path("sample/dbs")
    """The folder of a source of type directory."""
    poll: Seconds = 0.25
    """Seconds between two looks at the folder."""
    couch: CouchSettings = CouchSettings()
    """The cluster of a source of type couch."""
    max_document: Annotated[int, Meta(ge=1024)] = 32 * 1024 * 1024
    """Bytes; a larger document is skipped and reported."""


class StoreSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where we keep what we know."""

    path: Path = Path("var/store")
    history: Annotated[int, Meta(ge=1, le=1000)] = 10
    """Releases kept for each phone, the one being served included."""


class LegacyPath(Struct, frozen=True, forbid_unknown_fields=True):
    """URLs of another provisioner, which phones still ask for."""

    host: Annotated[str, Meta(pattern=r"^[a-z0-9.\-]{1,253}\Z")] | None = None
    """The host in them, lower-case, without port; none: any."""
    prefix: Annotated[str, Meta(pattern=r"^(\*|/([a-z0-9._~\-]+/)*)\Z", max_length=256)] = "/"
    """What stands before ``<account>/<file>`` or ``<file>``, lower-case; ``*``: anything."""


class WebSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How phones reach us."""

    listen: tuple[str, ...] = ("127.0.0.1:8080",)
    """``host:port``; ``[::]:port`` for IPv6; port 0 takes a free one."""
    workers: Annotated[int, Meta(ge=1, le=256)] | None = None
    """Processes that answer phones; none: one for each core."""
    serve_without_account: bool = True
    """Whether ``/p/<file>`` without an account id is answered for files that name a MAC."""
    legacy_paths: tuple[LegacyPath, ...] = ()
    """Other forms of URL than ``/p/…`` that are answered too."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks whose X-Forwarded-For, or PROXY protocol, says who asks."""
    proxy_protocol: bool = False
    """Whether connections from trusted proxies begin with the PROXY protocol, version 1 or 2."""
    miss_limit: Annotated[int, Meta(ge=0, le=100_000)] = 60
    """Names that an address may ask for in vain within `miss_window`; 0: no limit."""
    miss_window: Seconds = 3600
    connections: Annotated[int, Meta(ge=16, le=1_000_000)] = 10_000
    """Open connections of each process at most; one more closes the one that is idle longest."""
    timeout: Seconds = 20
    """Seconds in which a request must arrive as a whole, and in which an answer must be taken."""
    idle: Seconds = 60
    """Seconds without a request after which a connection is closed."""
    status: str | None = "127.0.0.1:8081"
    """``host:port`` of the operator's own pages (``/status``, ``/metrics``, …); none: nowhere."""


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How we log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    file: Path | None = None
    """Where to; none: standard output. It may be moved away or truncated at any time (logrotate)."""
    format: Literal["auto", "json", "console"] = "auto"
    """``auto``: columns on a terminal, JSON in a pipe."""


class TemplateFolder(Struct, frozen=True, forbid_unknown_fields=True):
    """A folder of an operator's own templates, laid out as `vendor_templates/`."""

    path: Path
    trusted: bool = False
    """Whether its templates are rendered outside Jinja's sandbox."""


class TemplatesSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where vendor templates are looked for."""

    folders: tuple[TemplateFolder, ...] = ()
    """In order, before the ones that came with the program; for a family, or for single files."""
    shipped: bool = True
    """Whether the ones that came with the program are used at all."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings, one struct per room."""

    source: SourceSettings = SourceSettings()
    store: StoreSettings = StoreSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    templates: TemplatesSettings = TemplatesSettings()
    phones: PhonesSettings = PhonesSettings()


def load(path: Path) -> Settings:
    """Read and validate a settings file. Relative paths in it are relative to its folder.

    Raises:
        SettingsError: names the file, the setting and what is wrong with it.
    """
    raw = read_yaml(path)
    _check_urls(raw, path)
    settings: Settings = convert({} if raw is None else raw, Settings, path)
    base = path.resolve().parent
    for name in (*settings.phones.resellers, *settings.phones.accounts):
        if not re.fullmatch(r"[0-9a-z]{32}", name):
            raise SettingsError(f"{path}: phones: {name!r} is not an account id (32 of 0-9 a-z)")
    if not settings.templates.shipped and not settings.templates.folders:
        raise SettingsError(f"{path}: templates: name a folder, or use the shipped ones")
    _check_layers(settings.phones, path)
    _check_networks(settings.web, path)
    replace = msgspec.structs.replace
    couch = settings.source.couch
    if (couch.user is None) != (couch.password is None):
        raise SettingsError(f"{path}: source.couch: give user and password, or neither")
    if couch.ca is not None:
        couch = replace(couch, ca=base / couch.ca)
    return replace(
        settings,
        source=replace(settings.source, path=base / settings.source.path, couch=couch),
        store=replace(settings.store, path=base / settings.store.path),
        log=replace(settings.log, file=None if settings.log.file is None else base / settings.log.file),
        templates=replace(
            settings.templates,
            folders=tuple(replace(one, path=base / one.path) for one in settings.templates.folders),
        ),
    )


def _check_urls(raw: Any, path: Path) -> None:
    """Say what is wrong with the address of a CouchDB, in better words than a pattern's; never the address."""
    at = raw
    for name in ("source", "couch", "urls"):
        at = at.get(name) if isinstance(at, dict) else None
    for url in at if isinstance(at, list) else ():
        said = f"{path}: source.couch.urls: "
        if isinstance(url, str) and "@" in url:
            raise SettingsError(
                f"{said}put user and password into source.couch.user and source.couch.password"
            )
        if isinstance(url, str) and not url.startswith(("http://", "https://")):
            raise SettingsError(f"{said}an address begins with http:// or https://")


def _check_networks(web: WebSettings, path: Path) -> None:
    if web.proxy_protocol and not web.trusted_proxies:
        raise SettingsError(
            f"{path}: web.proxy_protocol: nobody may use it; name the proxies in web.trusted_proxies"
        )
    for one in web.trusted_proxies:
        try:
            ipaddress.ip_network(one)
        except ValueError as error:
            raise SettingsError(f"{path}: web.trusted_proxies: {error}") from None


def _check_layers(phones: PhonesSettings, path: Path) -> None:
    layers = {"default": phones.default}
    for kind in ("zones", "resellers", "accounts"):
        layers.update({f"{kind}.{name}": layer for name, layer in getattr(phones, kind).items()})
    for name, layer in layers.items():
        if layer.ntp == ():
            raise SettingsError(f"{path}: phones.{name}.ntp: give at least one host, or leave it out")
        if layer.timezone is not None and not _is_timezone(layer.timezone):
            raise SettingsError(f"{path}: phones.{name}.timezone: there is no such zone in the IANA data")


def _is_timezone(name: str) -> bool:
    parts = name.split("/")
    if not all(re.fullmatch(r"[A-Za-z0-9_+\-]{1,40}", part) for part in parts):
        return False
    return resources.files("tzdata").joinpath("zoneinfo", *parts).is_file()
