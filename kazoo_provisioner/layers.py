"""The operator's layers: what Kazoo's documents have no home for, by default, zone, reseller and account."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from kazoo_provisioner.yamlfile import Secret

Port = Annotated[int, Meta(ge=0, le=65535)]


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
