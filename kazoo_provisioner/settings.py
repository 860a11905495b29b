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

from kazoo_provisioner.yamlfile import SettingsError, read_yaml

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=86400)]


class Secret:
    """A password: in no repr, log or traceback. `reveal` is the one way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


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


class ServerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """A SIP server that phones are told."""

    host: Annotated[str, Meta(pattern=r"^[A-Za-z0-9.\-:\[\]_]{1,253}\Z")]
    port: Port = 0
    transport: Literal["udp", "tcp", "tls"] | None = None


Host = Annotated[str, Meta(pattern=r"^[A-Za-z0-9.\-:_]{1,253}\Z")]


Of = Annotated[str, Meta(pattern=r"^[a-z0-9]{1,40}(/[a-z0-9_\-]{1,40})?\Z")]
"""Which phones: ``brand``, ``brand/family`` or ``brand/model``."""
Value = Annotated[str, Meta(max_length=1024)] | bool | int


class ParameterSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """A parameter of the maker's, where its value alone does not say enough."""

    value: Value
    override: bool = False
    """Whether it replaces what our templates write."""


class FirmwareSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The firmware phones are told to run, as the maker's parameters want it."""

    url: Annotated[str, Meta(pattern=r"^[!-~]{1,400}\Z")]
    version: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._\-+]{0,64}\Z")] = ""


class PhoneLayer(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What Kazoo's documents have no home for. Unset fields fall through to the layer below."""

    registrars: tuple[ServerSettings, ...] | None = None
    """In order; none: the account's realm is the registrar."""
    outbound_proxies: tuple[ServerSettings, ...] | None = None
    transport: Literal["udp", "tcp", "tls"] | None = None
    """For servers that name none. udp when nobody says."""
    tls_port: Port | None = None
    """Port of servers with transport tls that name none."""
    srv: bool | None = None
    """Look servers without a port up by NAPTR/SRV."""
    nat_keepalive: Annotated[int, Meta(ge=0, le=3600)] | None = None
    """Seconds; 0 is off."""
    public_url: Annotated[str, Meta(pattern=r"^https?://[!#-&(-;=?-~]{1,400}\Z")] | None = None
    """How phones reach ``/p``, white-label host and path included, such as ``https://prov.example.com/p``."""
    ntp: tuple[Host, ...] | None = None
    admin_password: Secret | None = None
    user_password: Secret | None = None
    poll_interval: Annotated[int, Meta(ge=60, le=30 * 86400)] | None = None
    """Seconds between two times that a phone looks for new files."""
    provisioning_username: Annotated[str, Meta(pattern=r"^[!-9;-~]{0,64}\Z")] | None = None
    """What phones send when they fetch their files, for a proxy that asks; empty: nothing."""
    provisioning_password: Secret | None = None
    firmware: dict[Of, FirmwareSettings] | None = None
    """By brand, brand/family or brand/model; the most particular counts. Others keep their firmware."""
    lldp: bool | None = None
    """Whether phones ask the switch for their VLAN."""
    parameters: dict[Of, dict[str, Value | ParameterSettings]] | None = None
    """Parameters by the maker's own names, of a brand, brand/family or brand/model. Layers add up."""
    expires: Annotated[int, Meta(ge=30, le=86400)] | None = None
    """Seconds a registration lasts where the device does not say."""
    timezone: str | None = None
    language: Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z]{2,4})?\Z")] | None = None
    time_format: Literal["12", "24"] | None = None
    date_format: Literal["little-endian", "middle-endian", "big-endian"] | None = None


class PhonesSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Layers, weakest first: `default`, the account's home `zones`, its reseller, the account."""

    default: PhoneLayer = PhoneLayer()
    zones: dict[str, PhoneLayer] = {}
    resellers: dict[str, PhoneLayer] = {}
    accounts: dict[str, PhoneLayer] = {}

    def layer(self, zone: str | None, reseller: str | None, account: str) -> PhoneLayer:
        """Return the layers that hold for an account, merged field by field."""
        merged = BUILT_IN
        for _, layer in self.layers(zone, reseller, account):
            given = {f: v for f in PhoneLayer.__struct_fields__ if (v := getattr(layer, f)) is not None}
            merged = msgspec.structs.replace(merged, **given)
        return merged

    def layers(self, zone: str | None, reseller: str | None, account: str) -> list[tuple[str, PhoneLayer]]:
        """Return the layers that hold for an account with their names, weakest first."""
        chosen = (
            ("default", self.default),
            (f"zone {zone}", self.zones.get(zone or "")),
            (f"reseller {reseller}", self.resellers.get(reseller or "")),
            (f"account {account}", self.accounts.get(account)),
        )
        return [(name, layer) for name, layer in chosen if layer is not None]


BUILT_IN = PhoneLayer(
    registrars=(),
    outbound_proxies=(),
    transport="udp",
    tls_port=5061,
    srv=False,
    nat_keepalive=30,
    public_url="http://127.0.0.1:8080/p",
    ntp=("pool.ntp.org",),
    admin_password=Secret(""),
    user_password=Secret(""),
    poll_interval=3600,
    provisioning_username="",
    provisioning_password=Secret(""),
    firmware={},
    lldp=True,
    parameters={},
    expires=300,
    timezone="UTC",
    language="en-us",
    time_format="12",
    date_format="middle-endian",
)
"""What holds when no layer says otherwise."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings, one struct per room."""

    source: SourceSettings = SourceSettings()
    store: StoreSettings = StoreSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    templates: Path | None = None
    """Folder of the vendor templates; none: the ones that came with this package."""
    phones: PhonesSettings = PhonesSettings()


def _decode(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        if len(value) > 128 or not value.isprintable():
            raise ValueError("must be printable and at most 128 characters")
        return Secret(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    # Never the value itself: it may be the password that was typed in the wrong place.
    raise ValueError(f"must be text, not {type(value).__name__}")


def _encode(value: Any) -> Any:
    return value.reveal() if isinstance(value, Secret) else str(value)


def fingerprint(settings: Any) -> bytes:
    """Return the bytes that stand for a struct of settings, secrets included: only ever to be hashed."""
    return msgspec.json.encode(settings, enc_hook=_encode, order="deterministic")


def convert(value: Any, kind: Any, where: str) -> Any:
    """Turn plain YAML data into a struct.

    Raises:
        SettingsError: names `where`, the setting and what is wrong with it.
    """
    try:
        return msgspec.convert(value, kind, dec_hook=_decode)
    except RecursionError:
        raise SettingsError(f"{where}: is nested too deeply") from None
    except UnicodeEncodeError:
        raise SettingsError(f"{where}: holds half a character") from None
    except msgspec.ValidationError as error:
        raise SettingsError(f"{where}: {_said(str(error))}") from None


_FORMS = {
    "public_url": "a URL that begins with http:// or https://",
    "host": "a host name in lower case, without a port",
    "prefix": "a path in lower case that begins and ends with /, or *",
    "language": "a language tag such as en-us",
}
"""What is wanted where a pattern says it, in words."""


def _said(text: str) -> str:
    """Return msgspec's words about a setting: its name first, and never its value."""
    found = re.search(r" - at (?P<key>`key` in )?`(?P<at>[^`]*)`$", text)
    at = (found["at"] if found else "$").removeprefix("$").lstrip(".")
    message = text[: found.start()] if found else text
    if message.startswith("Invalid enum value"):
        message = "not one of the values it can have"
    unknown = re.search(r"unknown field `(.*)`", message)
    if unknown:
        return f"{f'{at}.' if at else ''}{unknown[1]}: there is no such setting"
    if "matching regex" in message:
        message = f"must be {_FORMS.get(at.rpartition('.')[2], 'of another form: see the commented example')}"
    of_key = "a key: " if found and found["key"] else ""
    return f"{f'{at}: ' if at else ''}{of_key}{message}"


def load(path: Path) -> Settings:
    """Read and validate a settings file. Relative paths in it are relative to its folder.

    Raises:
        SettingsError: names the file, the setting and what is wrong with it.
    """
    raw = read_yaml(path)
    _check_urls(raw, path)
    settings: Settings = convert({} if raw is None else raw, Settings, str(path))
    base = path.resolve().parent
    for name in (*settings.phones.resellers, *settings.phones.accounts):
        if not re.fullmatch(r"[0-9a-z]{32}", name):
            raise SettingsError(f"{path}: phones: {name!r} is not an account id (32 of 0-9 a-z)")
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
        templates=None if settings.templates is None else base / settings.templates,
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
