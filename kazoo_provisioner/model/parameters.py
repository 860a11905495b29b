"""Free settings: parameters by the maker's own names, from settings and documents.

In documents `provision.parameters: {name: value}` of the account and of the device (overrides included); a value
that is an object is for the brand, brand/family or brand/model that its name says. Whoever writes documents can be a
tenant, so nothing from there is trusted: `catalogue.fit.admit` keeps it from what operators alone may set.
"""

from collections.abc import Sequence
from typing import Any

from kazoo_provisioner.layers import ParameterSettings, PhoneLayer
from kazoo_provisioner.model import text
from kazoo_provisioner.model.keys import Warn
from kazoo_provisioner.model.phone import Parameter
from kazoo_provisioner.model.wire import Doc, get

LIMIT = 200
"""Parameters that a document may set."""

LENGTH = 1024
"""Longest value, in characters."""


def build(
    layers: Sequence[tuple[str, PhoneLayer]], account: Doc, provision: Doc, of: Sequence[str], warn: Warn
) -> tuple[Parameter, ...]:
    """Return a phone's parameters by name: settings, then the account's document, then the device's, the later winning.

    Within one of these the more particular goes before: the brand, its family, the model.
    """
    found: dict[str, Parameter] = {}
    for source, layer in layers:
        for one in of:
            for name, value in ((layer.parameters or {}).get(one) or {}).items():
                said = value if isinstance(value, ParameterSettings) else ParameterSettings(value)
                written = _written(said.value)
                if written is None or not text.is_clean(name):
                    warn("parameter", f"settings {source}: {text.name(name, 100)}: holds a control character")
                elif name not in found or said.override or not found[name].override:
                    found[name] = Parameter(name, written, f"settings {source}", True, said.override)  # noqa: FBT003
    documents = (
        ("account", get(account, "provision.parameters")),
        ("device", provision.get("parameters")),
    )
    for source, given in documents:
        for name, chosen in _chosen(given, of, source, warn).items():
            if name in found and found[name].override:
                warn("parameter", f"{source}: {name}: the settings override it")
            elif chosen is None:
                found.pop(name, None)
            else:
                found[name] = Parameter(name, chosen, f"{source} document")
    return tuple(found[name] for name in sorted(found))


def _chosen(given: Any, of: Sequence[str], source: str, warn: Warn) -> dict[str, str | None]:
    """Return what a document sets for phones of this model; None takes away what a weaker document set."""
    if not isinstance(given, dict):
        if given is not None:
            warn("parameter", f"{source}: provision.parameters is no object")
        return {}
    groups = [{name: value for name, value in given.items() if not isinstance(value, dict)}]
    groups += [group for one in of if isinstance(group := given.get(one), dict)]
    chosen: dict[str, str | None] = {}
    for group in groups:
        for name, value in group.items():
            written = None if value is None else _written(value)
            if (value is not None and written is None) or not text.is_clean(name):
                warn(
                    "parameter",
                    f"{source}: {text.name(name, 100)}: its value must be clean text of at most {LENGTH} characters, a number or a boolean",
                )
            elif len(chosen) >= LIMIT and name not in chosen:
                warn("parameter", f"{source}: more than {LIMIT} parameters; the others are left out")
                return chosen
            else:
                chosen[name] = written
    return chosen


def _written(value: Any) -> str | None:
    """Return a value as text: true and false as 1 and 0; None for what a file cannot hold."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int | float):
        value = str(value)
    if not isinstance(value, str) or len(value) > LENGTH or not text.is_clean(value):
        return None
    return value.strip()
