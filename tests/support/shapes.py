"""What structs say of themselves, for tests that compare them with the pages."""

from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec


def field_paths(kind: Any, at: str = "") -> set[str]:
    """Every field of a struct and of those in it, also in lists: ``store``, ``store.free_bytes``."""
    found = set()
    for name, hint in get_type_hints(kind).items():
        kinds = [k for k in (hint, *get_args(hint)) if k is not NoneType and get_origin(k) is None]
        inner = [k for k in kinds if isinstance(k, type) and issubclass(k, msgspec.Struct)]
        if not inner or get_origin(hint) is list:
            found.add(f"{at}{name}")
        for one in inner:
            found |= field_paths(one, f"{at}{name}.")
    return found
