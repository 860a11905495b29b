"""Account, owner and device documents into one frozen `Phone`.

Rules: docs/architecture.md, "From documents to a Phone". Source of each: Kazoo's provisioner_v5.erl and
kzd_devices.erl on 3.18, 4.x and master. Pure: documents come in as they are stored, nothing is fetched.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, cast, get_args

import msgspec

from kazoo_provisioner.layers import PhoneLayer
from kazoo_provisioner.model import keys, parameters, phone, text, wire
from kazoo_provisioner.model.ids import Mac
from kazoo_provisioner.model.keys import Lookup, Warn
from kazoo_provisioner.model.phone import Codec, Line, Phone, Server, TimeZone
from kazoo_provisioner.model.timezone import timezone
from kazoo_provisioner.model.wire import Doc, get

MAX_LINES = 250
"""Accounts on the largest DECT base; the model's own count cuts further."""

_CODECS: dict[str, Codec] = {
    "OPUS": "OPUS", "G722": "G722", "PCMU": "PCMU", "PCMA": "PCMA", "G729": "G729", "GSM": "GSM",
    "SPEEX": "SPEEX", "CELT": "CELT", "CELT_48": "CELT", "CELT_64": "CELT",
    "G722_16": "G7221_16", "G7221@16000H": "G7221_16", "G722_32": "G7221_32", "G7221@32000H": "G7221_32",
}  # fmt: skip


_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z]{2,4})?")


class Cannot(Exception):  # noqa: N818 - a verdict on the documents, not a fault
    """These documents make no phone. `code` is a problem of docs/logs.md, `detail` a sentence."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


class Warning_(msgspec.Struct, frozen=True):  # noqa: N801 - `Warning` is Python's
    """Something in the documents that was left out or replaced, in words."""

    code: str
    detail: str


class Account(msgspec.Struct, frozen=True):
    """What all phones of an account share. `ancestors` go from the parent up to the master account."""

    id: str
    doc: Doc
    ancestors: tuple[Doc, ...]
    codes: dict[wire.Feature, str]
    layer: PhoneLayer
    parameters: tuple[tuple[str, PhoneLayer], ...] = ()
    """The layers of the settings that set parameters, weakest first, with their names."""


class Merged(msgspec.Struct, frozen=True):
    """A phone, and what was wrong on the way."""

    phone: Phone
    warnings: tuple[Warning_, ...]


def is_registering(device: Doc) -> bool:
    """Whether a device registers by user name and password (`sip.method` "ip" does not)."""
    given = (_is_given(get(device, "sip.username")), _is_given(get(device, "sip.password")))
    return all(given) and get(device, "sip.method") != "ip"


def _is_given(value: Any) -> bool:
    """Whether a user name or password is there: text that is not blank, or a number (see `text.exact`)."""
    return bool(value.strip()) if isinstance(value, str) else type(value) is int


def star_codes(callflows: Iterable[Doc]) -> dict[wire.Feature, str]:
    """Return the account's star codes from its feature callflows, in order of preference."""
    codes: dict[wire.Feature, str] = {}
    for callflow in callflows:
        feature = wire.feature_of(callflow)
        number = wire.feature_number(callflow)
        if feature and number:
            codes.setdefault(feature, number)
    return {**wire.FEATURE_DEFAULTS, **codes}


def build(
    device_id: str, device: Doc, mac: Mac, account: Account, lookup: Lookup, of: Sequence[str] = ()
) -> Merged:
    """Merge a device that owns `mac` with its owner, account, ancestors and settings.

    `of` is what settings may call its model, from the brand to the model itself.

    Raises:
        Cannot: the account has no realm, or a credential is unusable.
    """
    found: list[Warning_] = []

    def warn(code: str, detail: str) -> None:
        found.append(Warning_(code, text.name(detail, 200)))

    try:
        built = _build(device_id, device, mac, account, lookup, warn)
        provision = _provision(device, _owner(device, lookup), account.doc)
        firmware = next((f for name in reversed(of) if (f := (account.layer.firmware or {}).get(name))), None)
        built = msgspec.structs.replace(
            built,
            firmware_url=firmware.url if firmware else "",
            firmware_version=firmware.version if firmware else "",
            parameters=parameters.build(account.parameters, account.doc, provision, of, warn),
        )
        return Merged(built, tuple(found))
    except text.UnusableValueError as error:
        raise Cannot("unusable_value", str(error)) from None
    except RecursionError:
        raise Cannot("unusable_value", "provision.overrides is nested too deeply") from None


def _build(device_id: str, device: Doc, mac: Mac, account: Account, lookup: Lookup, warn: Warn) -> Phone:
    owner = _owner(device, lookup)
    provision = _provision(device, owner, account.doc)
    lines = _lines(device_id, device, provision, account, lookup, warn)
    layer = account.layer
    inherit = (device, owner, account.doc, *account.ancestors)
    numbers = [line.number for line in lines]
    key_groups: Any = {
        field: keys.build(get(provision, field), field, numbers, account.codes, lookup, warn)
        for field in ("combo_keys", "feature_keys")
    }
    return Phone(
        account_id=account.id,
        device_id=device_id,
        mac=mac,
        name=text.name(device.get("name")) or mac,
        lines=lines,
        timezone=_timezone(inherit, layer, warn),
        time_format=_choice(provision, "time_format", phone.TimeFormat, layer.time_format, warn),
        date_format=_choice(provision, "date_format", phone.DateFormat, layer.date_format, warn),
        language=_language(inherit, layer),
        hotline=_hotline(provision, warn),
        vlan=_vlan(provision, warn),
        voicemail_beep=get(provision, "voicemail_beep") not in (0, "0", False, "false"),
        ntp=layer.ntp or (),
        admin_password=layer.admin_password.reveal() if layer.admin_password else "",
        user_password=layer.user_password.reveal() if layer.user_password else "",
        provisioning_url=f"{str(layer.public_url).rstrip('/')}/{account.id}/",
        poll_interval=layer.poll_interval or 3600,
        provisioning_username=layer.provisioning_username or "",
        provisioning_password=layer.provisioning_password.reveal() if layer.provisioning_password else "",
        lldp=layer.lldp is not False,
        **key_groups,
    )


def _owner(device: Doc, lookup: Lookup) -> Doc:
    """Return the owner's document; a dangling owner_id is an owner who says nothing."""
    owner_id = device.get("owner_id")
    found = lookup(owner_id) if isinstance(owner_id, str) and owner_id else None
    return found[1] if found and found[0] == "user" else {}


def _provision(device: Doc, owner: Doc, account: Doc) -> Doc:
    """Return `provision` with the `provision.overrides` of account, owner and device laid over it."""
    result = device.get("provision")
    result = dict(result) if isinstance(result, dict) else {}
    for doc in (account, owner, device):
        result = _overlay(result, get(doc, "provision.overrides"))
    return result


def _overlay(under: Any, over: Any) -> Any:
    """Merge two JSON objects, the upper winning; null removes."""
    if not isinstance(over, dict):
        return under
    merged = dict(under) if isinstance(under, dict) else {}
    for name, value in over.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _overlay(merged.get(name), value) if isinstance(value, dict) else value
    return merged


def _lines(
    device_id: str, device: Doc, provision: Doc, account: Account, lookup: Lookup, warn: Warn
) -> tuple[Line, ...]:
    """Return the phone's lines: its own, and those of the devices that `provision.lines` names."""
    lines: dict[int, Line] = {}
    used = {device_id}
    if is_registering(device):
        lines[1] = _line(1, device_id, device, account, lookup, warn)
    named = get(provision, "lines")
    for key, entry in sorted(named.items()) if isinstance(named, dict) else ():
        number, other_id = wire.whole(key), get(entry, "device_id")
        other = lookup(other_id) if isinstance(other_id, str) else None
        if number is None or not 1 <= number <= MAX_LINES or number in lines:
            warn("line_number", f"provision.lines.{key}: not a free line from 1 to {MAX_LINES}")
        elif other is None or other[0] != "device" or other_id in used:
            warn("line_device", f"provision.lines.{key}: no other device of this account")
        elif not is_registering(other[1]):
            warn("line_device", f"provision.lines.{key}: device {other_id} does not register")
        else:
            used.add(other_id)
            lines[number] = _line(number, other_id, other[1], account, lookup, warn)
    return tuple(lines[number] for number in sorted(lines))


def _line(number: int, device_id: str, device: Doc, account: Account, lookup: Lookup, warn: Warn) -> Line:
    owner, layer = _owner(device, lookup), account.layer
    username = text.exact(get(device, "sip.username"), "sip.username")
    realm = text.exact(get(device, "sip.realm"), "sip.realm") or text.exact(account.doc.get("realm"), "realm")
    if not realm:
        raise Cannot("no_realm", f"neither device {device_id} nor account {account.id} has a realm")
    display = text.name(device.get("name")) or keys.user_name(owner) or text.name(account.doc.get("name"))
    registrars = _servers(layer.registrars, layer) or (_default_registrar(realm, layer),)
    return Line(
        number=number,
        device_id=device_id,
        enabled=wire.enabled(
            device.get("enabled"),
            owner.get("enabled"),
            account.doc.get("enabled"),
            account.doc.get("pvt_enabled"),
        ),
        username=username,
        auth_name=username,
        password=text.exact(get(device, "sip.password"), "sip.password"),
        realm=realm,
        display_name=display or username,
        label=keys.user_name(owner) or display or username,
        registrars=registrars,
        outbound_proxies=_servers(layer.outbound_proxies, layer),
        srv=bool(layer.srv),
        expires=_expires(device, layer, warn),
        nat_keepalive=layer.nat_keepalive or 0,
        srtp=_srtp(device, owner, warn),
        codecs=_codecs(device, owner, warn),
        voicemail=account.codes["voicemail"],
        pickup=account.codes["pickup"],
    )


def _default_registrar(realm: str, layer: PhoneLayer) -> Server:
    transport = layer.transport or "udp"
    return Server(realm, (layer.tls_port or 0) if transport == "tls" else 0, transport)


def _servers(given: Any, layer: PhoneLayer) -> tuple[Server, ...]:
    servers = []
    for one in given or ():
        transport = one.transport or layer.transport or "udp"
        port = one.port or ((layer.tls_port or 0) if transport == "tls" else 0)
        servers.append(Server(one.host, port, transport))
    return tuple(servers)


def _expires(device: Doc, layer: PhoneLayer, warn: Warn) -> int:
    """Seconds a registration lasts: `sip.expire_seconds`, on 3.18 `sip.registration_expiration`."""
    for field in ("sip.expire_seconds", "sip.registration_expiration"):
        value = get(device, field)
        if value in (None, ""):
            continue
        seconds = wire.whole(value)
        if seconds is not None and 30 <= seconds <= 86400:
            return seconds
        warn("expires", f"{field} is not 30 to 86400 seconds")
    return layer.expires or 300


def _srtp(device: Doc, owner: Doc, warn: Warn) -> phone.Srtp:
    """Encryption of calls: `media.encryption`, on 3.18 `media.secure_rtp`. The device goes before its owner."""
    for doc in (device, owner):
        methods = get(doc, "media.encryption.methods")
        if isinstance(methods, list) and methods:
            if "zrtp" in methods:
                warn("zrtp", "media.encryption.methods: ZRTP, which no desk phone speaks")
            if "srtp" in methods:
                return (
                    "required" if wire.is_true(get(doc, "media.encryption.enforce_security")) else "optional"
                )
            return "off"
        secure = get(doc, "media.secure_rtp")
        if isinstance(secure, str) and secure:
            if secure == "zrtp":
                warn("zrtp", "media.secure_rtp: ZRTP, which no desk phone speaks")
            return "required" if secure == "srtp" else "off"
        if wire.is_true(secure):
            return "required"
        if isinstance(methods, list):
            return "off"  # an empty list is a choice: the owner's is not asked
    return "off"


def _codecs(device: Doc, owner: Doc, warn: Warn) -> tuple[Codec, ...]:
    """Return codecs in the document's order, each once; PCMU when it names none we know."""
    for doc in (device, owner):
        listed = get(doc, "media.audio.codecs")
        if not isinstance(listed, list) or not listed:
            continue
        known: dict[Codec, None] = {}
        for name in listed:
            codec = _codec(name)
            if codec:
                known[codec] = None
            else:
                warn("codec", f"media.audio.codecs: {text.name(name, 20)!r} is no codec of Kazoo's")
        if known:
            return tuple(known)
    return ("PCMU",)


def _codec(name: Any) -> Codec | None:
    """Normalise one of Kazoo's names, such as ``speex@16000h``, ``CELT@48000h`` or ``G722_16``."""
    if not isinstance(name, str):
        return None
    upper = name.strip().upper()
    return _CODECS.get(upper) or _CODECS.get(upper.partition("@")[0] if not upper.startswith("G7221") else "")


def _timezone(docs: Iterable[Doc], layer: PhoneLayer, warn: Warn) -> TimeZone:
    """Return the first zone that a document sets: device, owner, account, then each ancestor upwards."""
    for doc in docs:
        name = wire.text(doc, "timezone")
        if name and name != "inherit":
            zone = timezone(name)
            if zone:
                return zone
            warn("timezone", f"{text.name(name, 40)!r} is no IANA time zone")
    return timezone(layer.timezone or "UTC") or TimeZone("UTC", 0)


def _language(docs: Iterable[Doc], layer: PhoneLayer) -> str:
    for doc in docs:
        name = wire.text(doc, "language").lower().replace("_", "-")
        if _LANGUAGE.fullmatch(name):
            return name
    return (layer.language or "en-us").lower().replace("_", "-")


def _choice(provision: Doc, field: str, kind: Any, default: str | None, warn: Warn) -> Any:
    value = get(provision, field)
    value = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if value in get_args(kind):
        return value
    if value not in (None, "", "inherit"):
        warn(field, f"provision.{field}: not one of {', '.join(get_args(kind))}")
    return cast("str", default)


def _hotline(provision: Doc, warn: Warn) -> str:
    try:
        return text.exact(get(provision, "hotline"), "provision.hotline", 64)
    except text.UnusableValueError as error:
        warn("hotline", str(error))
        return ""


def _vlan(provision: Doc, warn: Warn) -> int | None:
    if get(provision, "vlan.enable") not in (True, "true", 1, "1"):
        return None
    number = wire.whole(get(provision, "vlan.number"))
    if number is None or not 1 <= number <= 4094:
        warn("vlan", "provision.vlan.number: not 1 to 4094")
        return None
    return number
