"""docs/models.md: what the catalogue holds, for people. `make models` writes it; a test holds it against the data."""

import re
from collections.abc import Iterator

from kazoo_provisioner.catalogue.load import Catalogue
from kazoo_provisioner.catalogue.models import Brand, Family, Model

FEATURES = {
    "SRTP": "line.srtp",
    "codecs": "line.codecs",
    "proxy": "line.outbound_proxies",
    "registrars": "line.registrars",
    "SRV": "line.srv",
    "pickup": "line.pickup",
    "voicemail": "line.voicemail",
    "beep": "voicemail_beep",
    "hotline": "hotline",
    "time zone": "timezone",
    "clock": "time_format",
    "date": "date_format",
    "language": "language",
    "NTP": "ntp",
    "VLAN": "vlan",
    "LLDP": "lldp",
    "admin password": "admin_password",
    "user password": "user_password",
    "credentials": "provisioning_username",
    "polling": "poll_interval",
    "firmware": "firmware_url",
}
"""Columns, and the field of `Phone` that each stands for."""

HEAD = """# Models

Made by `make models` from vendor_templates/. Do not edit.

{models} models of {families} families and {brands} brands; the counts of {sure} rest on a maker's own source.

- [Brands](#brands)
- [Families by feature](#families-by-feature)
{contents}

## Brands

| brand | also known as | families | models | counts confirmed by the maker |
|---|---|---|---|---|
"""

FEATURE_HEAD = """
## Families by feature

`+` mapped, `~` in part: one for all lines, or not on every model; `-` the phones have no parameter for it (each family.yaml says who says so).
"Book" is the account's phonebook, "free" are parameters that an operator names.

"""


def markdown(catalogue: Catalogue) -> str:
    """Return docs/models.md."""
    brands = sorted(catalogue.brands.values(), key=lambda brand: brand.id)
    families = {b.id: [f for f in catalogue.families.values() if f.brand.id == b.id] for b in brands}
    models = [model for family in catalogue.families.values() for model in family.models.values()]
    text = HEAD.format(
        models=len(models), families=len(catalogue.families), brands=len(brands),
        sure=sum(model.sure for model in models),
        contents="\n".join(f"- [{brand.spec.name}](#{_anchor(brand.spec.name)})" for brand in brands),
    )  # fmt: skip
    for brand in brands:
        ours = [model for family in families[brand.id] for model in family.models.values()]
        also = ", ".join(brand.spec.aliases) or ""
        text += f"| {brand.spec.name} (`{brand.id}`) | {also} | {len(families[brand.id])} | {len(ours)} | {sum(m.sure for m in ours)} |\n"
    text += FEATURE_HEAD + "\n".join(_features(catalogue)) + "\n"
    for brand in brands:
        text += "\n".join(_brand(brand, families[brand.id])) + "\n"
    return text


def _anchor(name: str) -> str:
    return "".join(c for c in name.lower().replace(" ", "-") if c.isalnum() or c == "-")


def _features(catalogue: Catalogue) -> Iterator[str]:
    columns = (*FEATURES, "book", "free")
    yield f"| family | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for family in catalogue.families.values():
        marks = [_mark(family, field) for field in FEATURES.values()]
        files = (*family.spec.files, *family.brand.spec.files)
        marks.append("+" if any(file.scope == "account" for file in files) else "-")
        marks.append("+" if family.spec.parameter else "-")
        yield f"| `{family.id}` | {' | '.join(marks)} |"


def _mark(family: Family, field: str) -> str:
    """Return whether a family maps a field: +, ~ or -."""
    whole = family.spec.cannot.get(field)
    if whole:
        shared = re.search(r"\bone\b|first line|all lines", whole.why, re.IGNORECASE)
        return "~" if whole.models or shared else "-"
    return "~" if any(name.startswith(f"{field}.") for name in family.spec.cannot) else "+"


def _brand(brand: Brand, families: list[Family]) -> Iterator[str]:
    yield f"\n## {brand.spec.name}"
    for family in families:
        spec = family.spec
        yield f"\n### {spec.name} (`{family.id}`)\n"
        files = ", ".join(
            f"`{file.name}`"
            for file in (*spec.files, *brand.spec.files)
            if file.scope != "brand" or spec.files
        )
        yield f"Files: {files}. Looks again on NOTIFY `{spec.resync or 'none'}`.\n"
        yield f"Confirmed by: {'; '.join(spec.guides) or 'nobody'}.\n"
        yield "| model | id | also | kind | lines | keys | second keys | modules | codecs | counts |"
        yield "|---|---|---|---|---|---|---|---|---|---|"
        yield from (_model(model) for model in family.models.values())
        if spec.doubts:
            yield "\nOpen doubts:\n"
            yield from (f"- {' '.join(doubt.split())}" for doubt in spec.doubts)


def _model(model: Model) -> str:
    modules = f"{model.modules} of {model.module_keys}" if model.modules else ""
    counts = "maker" if model.sure else "second hand"
    return (
        f"| {model.name} | `{model.id}` | {', '.join(model.aliases)} | {model.kind} | {model.lines} | {model.keys} | "
        f"{model.feature_keys or ''} | {modules} | {' '.join(model.codecs)} | {counts}: {'; '.join(model.sources)} |"
    )
