"""Cut a phone down to what its model can do, and say what was left out."""

import re
from typing import Any

import msgspec

from kazoo_provisioner.catalogue.models import Family, Model
from kazoo_provisioner.model.merge import Warning_
from kazoo_provisioner.model.phone import Codec, Key, Line, Phone

GUARDED = re.compile(
    r"server|prox(y|ies)|registrar|realm|domain|host|url|uri|addr|passw|passwd|secret|credential|provision|autop|firmware"
    r"|upgrade|syslog|vpn|snmp|tr-?_?069|stun|telnet|ssh|forward|fwd|redirect|certif|remote|login|dns|trust|push|ldap"
    r"|record|xml|action|dhcp|http|ftp|outbound|username|user_?name|user_?id|auth|listen|intercept|monitor|edk",
    re.IGNORECASE,
)
"""Words of parameters that no document sets, whatever a family guards besides: they lead calls or data elsewhere."""


def fit(phone: Phone, model: Model) -> tuple[Phone, tuple[Warning_, ...]]:
    """Return the phone as its model can be it: lines, keys and codecs that it has, each cut warned of."""
    warnings: list[Warning_] = []
    lines = tuple(line for line in phone.lines if line.number <= model.lines)
    if len(lines) < len(phone.lines):
        warnings.append(Warning_("lines", f"{model.name} has {model.lines} lines; the others are left out"))
    changes: dict[str, Any] = {
        "lines": tuple(_with_codecs(line, model, warnings) for line in lines),
        "combo_keys": _keys(phone, "combo_keys", model.all_keys, model, warnings),
        "feature_keys": _keys(phone, "feature_keys", model.feature_keys, model, warnings),
    }
    return msgspec.structs.replace(phone, **changes), tuple(dict.fromkeys(warnings))


def admit(phone: Phone, family: Family) -> tuple[Phone, tuple[Warning_, ...]]:
    """Return the phone with the free settings that it may have, each other one warned of.

    Names must be such as the family's syntax can hold. What operators alone may set (`guarded`) is not taken
    from documents: whoever manages an account writes those.
    """
    if not phone.parameters:
        return phone, ()
    warnings: list[Warning_] = []
    spec, guarded = family.spec, family.spec.guarded + family.brand.spec.guarded
    admitted = []
    for one in phone.parameters:
        # A space at its end or a second one is the same name to a phone, and another one to us.
        if not re.fullmatch(spec.parameter_name, one.name) or one.name != " ".join(one.name.split()):
            warnings.append(Warning_("parameter", f"{one.source}: {one.name[:100]}: no name of a parameter"))
        elif not one.trusted and (
            GUARDED.search(one.name) or any(re.fullmatch(g, one.name, re.IGNORECASE) for g in guarded)
        ):
            warnings.append(
                Warning_("parameter_guarded", f"{one.source}: {one.name}: operators alone may set it")
            )
        else:
            admitted.append(one)
    return msgspec.structs.replace(phone, parameters=tuple(admitted)), tuple(warnings)


def _with_codecs(line: Line, model: Model, warnings: list[Warning_]) -> Line:
    codecs: tuple[Codec, ...] = tuple(codec for codec in line.codecs if codec in model.codecs)
    missing = [codec for codec in line.codecs if codec not in model.codecs]
    if missing:
        instead = "" if codecs else "; PCMU instead"
        warnings.append(Warning_("codec", f"{model.name} does not speak {', '.join(missing)}{instead}"))
    return msgspec.structs.replace(line, codecs=codecs or ("PCMU",))


def _keys(phone: Phone, field: str, count: int, model: Model, warnings: list[Warning_]) -> tuple[Key, ...]:
    keys: tuple[Key, ...] = getattr(phone, field)
    fitting = tuple(key for key in keys if key.number <= count)
    if len(fitting) < len(keys):
        warnings.append(Warning_("keys", f"{model.name} has {count} {field}; the others are left out"))
    # A key of a line that was cut goes with it; that was warned of.
    return tuple(key for key in fitting if key.line <= model.lines)
