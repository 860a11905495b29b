"""Whether what the settings say of brands and models is about any: what `check` says beside the templates."""

import re

from kazoo_provisioner.catalogue.load import Catalogue
from kazoo_provisioner.catalogue.models import Family
from kazoo_provisioner.layers import ParameterSettings, PhonesSettings
from kazoo_provisioner.model.text import is_clean

UNKNOWN = "no brand, brand/family or brand/model we know"


def wrong_settings(catalogue: Catalogue, phones: PhonesSettings) -> list[str]:
    """Return what is wrong with `firmware` and `parameters` of the layers, a sentence each."""
    layers = {"default": phones.default}
    for kind in ("zones", "resellers", "accounts"):
        layers |= {f"{kind}.{name}": layer for name, layer in getattr(phones, kind).items()}
    found: list[str] = []
    for where, layer in layers.items():
        unknown = [of for of in layer.firmware or () if not _families(catalogue, of)]
        found += [f"phones.{where}.firmware.{of}: {UNKNOWN}" for of in unknown]
        for of, group in (layer.parameters or {}).items():
            at = f"phones.{where}.parameters.{of}"
            families = _families(catalogue, of)
            if not families:
                found.append(f"{at}: {UNKNOWN}")
            elif all(family.spec.parameter is None for family in families):
                found.append(f"{at}: these phones take no parameters by name")
            for name, value in group.items():
                if families and not any(_is_name(family, name) for family in families):
                    found.append(f"{at}: {name[:100]!a} is no name of a parameter there")
                said = value.value if isinstance(value, ParameterSettings) else value
                if isinstance(said, str) and not is_clean(said):
                    found.append(f"{at}: {name[:100]!a}: its value holds a control character")
    return found


def _families(catalogue: Catalogue, of: str) -> list[Family]:
    brand, _, rest = of.partition("/")
    families = [family for family in catalogue.families.values() if family.brand.id == brand]
    return [one for one in families if not rest or rest == one.spec.family or rest in one.models]


def _is_name(family: Family, name: str) -> bool:
    return re.fullmatch(family.spec.parameter_name, name) is not None and name == " ".join(name.split())
