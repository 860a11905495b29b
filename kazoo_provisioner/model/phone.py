"""What a template knows: one frozen `Phone`, or one frozen `Phonebook`. Nothing else.

Every string in here is clean (see `text`): a struct with a control character cannot be made.
"""

from typing import Literal

import msgspec

from kazoo_provisioner.model.text import check_clean

Transport = Literal["udp", "tcp", "tls"]
Srtp = Literal["off", "optional", "required"]
KeyKind = Literal["line", "presence", "speed_dial", "parking", "personal_parking", "voicemail", "none"]
TimeFormat = Literal["12", "24"]
DateFormat = Literal["little-endian", "middle-endian", "big-endian"]

Codec = Literal["OPUS", "G722", "PCMU", "PCMA", "G729", "GSM", "SPEEX", "CELT", "G7221_16", "G7221_32"]
"""Kazoo's codec names, normalised: G7221_16 is G.722.1 at 16 kHz (not G.722), G7221_32 is G.722.1C."""


class Clean(msgspec.Struct, frozen=True):
    """A struct whose own strings hold no control character."""

    def __post_init__(self) -> None:
        check_clean(self)


class Server(Clean, frozen=True):
    """A SIP server. Port 0: none given, so the transport's usual one, or what SRV says."""

    host: str
    port: int = 0
    transport: Transport = "udp"


class Line(Clean, frozen=True):
    """One registration.

    `registrars` has at least one entry; `outbound_proxies` can be empty; both in order of preference.
    `srv` asks for NAPTR/SRV look-ups where no port is given. `expires` and `nat_keepalive` are seconds,
    keepalive 0 is off. `voicemail` is what the message key dials, `pickup` the prefix that picks up a
    ringing extension (Kazoo's directed pickup).
    """

    number: int
    device_id: str
    enabled: bool
    username: str
    auth_name: str
    password: str
    realm: str
    display_name: str
    label: str
    registrars: tuple[Server, ...]
    outbound_proxies: tuple[Server, ...] = ()
    srv: bool = False
    expires: int = 300
    nat_keepalive: int = 0
    srtp: Srtp = "off"
    codecs: tuple[Codec, ...] = ("PCMU",)
    voicemail: str = "*97"
    pickup: str = "*87"


class Key(Clean, frozen=True):
    """One programmable key. `number` counts from 1 in its group; `line` is the `Line.number` it uses.

    `value` is what the phone watches or dials: an extension or presence id, `*3` + slot, a number.
    """

    number: int
    kind: KeyKind
    value: str = ""
    label: str = ""
    line: int = 1


class DstChange(Clean, frozen=True):
    """When daylight saving time starts or ends: the `week`-th (5 = last) `weekday` (0 = Sunday) of `month`.

    `minute` is the local wall-clock minute of the day, 0 to 1439.
    """

    month: int
    week: int
    weekday: int
    minute: int


class Dst(Clean, frozen=True):
    """Daylight saving time: `saving` minutes ahead of standard time between `start` and `end`."""

    start: DstChange
    end: DstChange
    saving: int = 60


class TimeZone(Clean, frozen=True):
    """An IANA zone: `name`, minutes east of UTC in standard time, and its rule or None."""

    name: str
    offset: int
    dst: Dst | None = None


class Parameter(Clean, frozen=True):
    """A parameter of the maker's that somebody set by its own name.

    `source` says where it comes from. `trusted`: from the operator's settings, not from a document. Where our
    templates write it too, ours counts, unless it says `override`.
    """

    name: str
    value: str
    source: str
    trusted: bool = False
    override: bool = False


class Phone(Clean, frozen=True):
    """Everything a phone is told.

    `combo_keys` are the phone's line keys, then its modules' keys; `feature_keys` its second group
    (memory keys). Both are in order of `number`; a number without a key is one nobody set.
    `language` is Kazoo's tag in lower case ("en-us"). `hotline` is dialled when the handset is lifted,
    empty for none. `vlan` is a VLAN id, None for untagged. `ntp` has at least one host. Empty passwords
    leave the phone's own. `provisioning_url` ends in a slash: files are named after it.
    `poll_interval` is seconds between two look-ups of the files. `provisioning_username` and
    `provisioning_password` are what it sends then, empty for none. `firmware_url` and `firmware_version` are
    what the maker's parameters want, empty to leave the phone's firmware alone. `lldp`: whether it asks the
    switch for its VLAN. `parameters` are the free settings; the engine writes them, not the templates.
    """

    account_id: str
    device_id: str
    mac: str
    name: str
    lines: tuple[Line, ...]
    combo_keys: tuple[Key, ...]
    feature_keys: tuple[Key, ...]
    timezone: TimeZone
    time_format: TimeFormat
    date_format: DateFormat
    language: str
    hotline: str
    vlan: int | None
    voicemail_beep: bool
    ntp: tuple[str, ...]
    admin_password: str
    user_password: str
    provisioning_url: str
    poll_interval: int
    provisioning_username: str = ""
    provisioning_password: str = ""
    firmware_url: str = ""
    firmware_version: str = ""
    lldp: bool = True
    parameters: tuple[Parameter, ...] = ()


class Contact(Clean, frozen=True):
    """One entry of a phonebook. `number` is never empty."""

    name: str
    number: str


class Phonebook(Clean, frozen=True):
    """An account's phonebook, sorted by name. `name` is the account's."""

    account_id: str
    name: str
    contacts: tuple[Contact, ...]
