"""Every field of a `Phone`, changed alone: the list that each model's templates are held against."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from kazoo_provisioner.catalogue.models import Model
from kazoo_provisioner.model.phone import Dst, DstChange, Key, Phone, Server, TimeZone
from kazoo_provisioner.render import samples as phones

replace = msgspec.structs.replace
Change = Callable[[Phone], Phone]

START, END = DstChange(3, 5, 0, 120), DstChange(10, 5, 0, 180)
ZONE = TimeZone("Europe/Berlin", 60, Dst(START, END, 60))

IDENTITY = {
    "account_id",
    "device_id",
    "mac",
    "name",
    "line.device_id",
    "server.port",
    "server.host",
    "server.transport",
}
"""Fields that name a phone to us, or that are covered as a line's registrars and proxies."""


def base(model: Model) -> Phone:
    """The phone that is changed: lines, and a key of each kind among them."""
    count = min(model.lines, 3)
    lines = tuple(phones.line(n) for n in range(1, count + 1))
    kinds = [k for k in (1, 2, 3, 4, 5) if k + count <= model.all_keys]
    combo = tuple(replace(phones.key(k), number=k + count) for k in kinds)
    feature = tuple(phones.key(n) for n in range(1, min(model.feature_keys, 5) + 1))
    return phones.phone(
        lines, combo_keys=combo, feature_keys=feature, timezone=ZONE, provisioning_username="prov",
        provisioning_password="prov-Secret", firmware_url="http://firmware.example.com/phone.rom",
        firmware_version="1.2.3",
    )  # fmt: skip


def _line(field: str, value: Any) -> Change:
    """Change a field of the last line."""
    return lambda p: replace(p, lines=(*p.lines[:-1], replace(p.lines[-1], **{field: value})))


def _server(field: str, at: int, **values: Any) -> Change:
    def change(p: Phone) -> Phone:
        servers = list(getattr(p.lines[-1], field))
        servers[at] = replace(servers[at], **values)
        return _line(field, tuple(servers))(p)

    return change


def _key(group: str, at: int, **values: Any) -> Change:
    def change(p: Phone) -> Phone:
        keys = list(getattr(p, group))
        keys[at] = replace(keys[at], **values)
        return replace(p, **{group: tuple(sorted(keys, key=lambda k: k.number))})

    return change


def _phone(**values: Any) -> Change:
    return lambda p: replace(p, **values)


def unproxied(start: Phone) -> Phone:
    """The base without outbound proxies: where a line has them, some phones never name its registrars."""
    return _line("outbound_proxies", ())(start)


def changes(model: Model) -> Iterator[tuple[str, str, Change]]:
    """Yield (field, what is done, the change) for a model; registrars are changed in the `unproxied` base."""
    yield from _phone_changes()
    yield from _line_changes(model)
    yield from _registrar_changes()
    for group, size in (("combo_keys", model.all_keys), ("feature_keys", model.feature_keys)):
        start = base(model)
        if size:
            yield from _key_changes(group, size, start)


def _phone_changes() -> Iterator[tuple[str, str, Change]]:
    yield "lines", "one less", lambda p: replace(p, lines=p.lines[:-1])
    yield "timezone.name", "no DST", _phone(timezone=TimeZone("Asia/Kolkata", 330))
    yield "timezone.offset", "other", _phone(timezone=replace(ZONE, offset=-300))
    yield "timezone.dst", "none", _phone(timezone=replace(ZONE, dst=None))
    for end, rule in (("start", START), ("end", END)):
        for field, value in (("month", 5), ("week", 2), ("weekday", 4), ("minute", 60)):
            dst = replace(ZONE.dst, **{end: replace(rule, **{field: value})})  # type: ignore[type-var]
            yield f"timezone.dst.{end}.{field}", str(value), _phone(timezone=replace(ZONE, dst=dst))
    yield "timezone.dst.saving", "30 minutes", _phone(timezone=replace(ZONE, dst=Dst(START, END, 30)))
    yield "time_format", "12", _phone(time_format="12")
    yield "date_format", "US", _phone(date_format="middle-endian")
    yield "date_format", "ISO", _phone(date_format="big-endian")
    yield "language", "German", _phone(language="de-de")
    yield "hotline", "set", _phone(hotline="4711")
    yield "vlan", "set", _phone(vlan=99)
    yield "voicemail_beep", "off", _phone(voicemail_beep=False)
    yield "ntp", "other", _phone(ntp=("ntp.example.com", "1.pool.ntp.org"))
    yield "ntp.second", "other", _phone(ntp=("0.pool.ntp.org", "ntp.example.com"))
    yield "admin_password", "other", _phone(admin_password="0ther-Adm1n")
    yield "user_password", "other", _phone(user_password="0ther-Us3r")
    yield "provisioning_username", "set", _phone(provisioning_username="other")
    yield "provisioning_password", "other", _phone(provisioning_password="0ther-Pr0v")
    yield "firmware_url", "other", _phone(firmware_url="http://firmware.example.com/other.rom")
    yield "firmware_version", "other", _phone(firmware_version="9.8.7")
    yield "lldp", "off", _phone(lldp=False)
    yield "provisioning_url", "other", _phone(provisioning_url="https://other.example.com/p/x/")
    yield "poll_interval", "other", _phone(poll_interval=7200)


def _line_changes(model: Model) -> Iterator[tuple[str, str, Change]]:
    if model.lines > 3:
        yield "line.number", "moved", _line("number", 4)
    for field, value in (
        ("enabled", False),
        ("username", "other"),
        ("auth_name", "other"),
        ("password", "0ther-S1p"),
        ("realm", "other.example.com"),
        ("display_name", "Other"),
        ("label", "Other"),
        ("srv", True),
        ("expires", 1800),
        ("nat_keepalive", 55),
        ("voicemail", "*98"),
        ("pickup", "*88"),
    ):
        yield f"line.{field}", str(value)[:5], _line(field, value)
    yield "line.nat_keepalive", "off", _line("nat_keepalive", 0)
    yield "line.srtp", "off", _line("srtp", "off")
    yield "line.srtp", "required", _line("srtp", "required")
    yield "line.codecs", "order", _line("codecs", ("PCMA", "PCMU", "G722"))
    yield "line.codecs", "fewer", _line("codecs", ("G722", "PCMU"))
    yield from _server_changes("outbound_proxies")
    yield "line.outbound_proxies", "none", _line("outbound_proxies", ())


def _registrar_changes() -> Iterator[tuple[str, str, Change]]:
    yield from _server_changes("registrars")
    yield "line.registrars", "one", _line("registrars", (Server("only.example.com"),))


def _server_changes(servers: str) -> Iterator[tuple[str, str, Change]]:
    yield f"line.{servers}.host", "other", _server(servers, 0, host="other.example.com")
    yield f"line.{servers}.port", "other", _server(servers, 0, port=5099)
    yield f"line.{servers}.transport", "tcp", _server(servers, 0, transport="tcp")
    yield f"line.{servers}.transport", "tls", _server(servers, 0, transport="tls")
    yield f"line.{servers}.second", "host", _server(servers, 1, host="other.example.com")
    yield f"line.{servers}.second", "port", _server(servers, 1, port=5099)


def _key_changes(group: str, size: int, start: Phone) -> Iterator[tuple[str, str, Change]]:
    keys: tuple[Key, ...] = getattr(start, group)
    for at, key in enumerate(keys):
        yield f"{group}.kind", f"{key.kind} gone", _key(group, at, kind="none", value="", label="")
        yield f"{group}.value", f"{key.kind} value", _key(group, at, value="5551")
        yield f"{group}.label", f"{key.kind} label", _key(group, at, label="Other label")
        if len(start.lines) > 1:
            yield f"{group}.line", f"{key.kind} line", _key(group, at, line=2)
    if keys and keys[-1].number < size:
        yield f"{group}.number", "moved", _key(group, len(keys) - 1, number=size)
