"""Small template folders, written for one test."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kazoo_provisioner.catalogue.load import Catalogue, load

SPEC: dict[str, Any] = {
    "brand": "acme",
    "family": "x1",
    "name": "Acme X1",
    "syntax": "key-value",
    "codecs": ["G722", "PCMU"],
    "defaults": {"lines": 2, "keys": 4},
    "models": {"x10": {"aliases": ["x10p"], "vars": {"code": "10"}}},
    "files": [{"name": "{mac}.cfg", "template": "phone.j2"}],
}
PHONE = "name = {{ phone.name }}\n"


def family(root: Path, templates: Mapping[str, str] | None = None, **changes: Any) -> Path:
    """Write a family; None as a change takes a key out."""
    spec = {name: value for name, value in (SPEC | changes).items() if value is not None}
    folder = root / str(changes.pop("_in", f"{spec['brand']}/{spec['family']}"))
    spec.pop("_in", None)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "family.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    for name, text in ({"phone.j2": PHONE} | dict(templates or {})).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def catalogue(root: Path, templates: Mapping[str, str] | None = None, **changes: Any) -> Catalogue:
    family(root, templates, **changes)
    return load(root)
