"""Text that came from a document, made fit for a phone.

No phone can show or parse a control character, and in every syntax a line break ends something. So none
gets past this point: `check_clean` guards the constructor of everything a template can see.
"""

import unicodedata
from typing import Any

import msgspec

NAME_LENGTH = 64
"""Longest name or label we send, in characters. Phones show 10 to 32; Yealink stores up to 99."""

VALUE_LENGTH = 256
"""Longest user name, password, realm or number, in characters."""


class UnusableValueError(ValueError):
    """A value that no phone could use, such as a password with a line break. Names the field, never the value."""


def _is_bad(char: str) -> bool:
    # Cc control, Cs lone surrogate, Co private use, Cn unassigned (U+FFFE), Zl and Zp the Unicode line and
    # paragraph separators; the bidirectional controls reorder what stands around them.
    return (
        unicodedata.category(char) in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp")
        or "\u202a" <= char <= "\u202e"
        or "\u2066" <= char <= "\u2069"
        or char in "\u200e\u200f\u061c\ufeff"
    )


def is_clean(text: str) -> bool:
    """Whether the text holds nothing that a phone's syntax could trip over."""
    return (text.isascii() and text.isprintable()) or not any(map(_is_bad, text))


def name(value: object, limit: int = NAME_LENGTH) -> str:
    """Return a display name: bad characters become spaces, runs of space one space, cut to `limit`."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = str(value)[: limit * 8]
    if not is_clean(text):
        text = "".join(" " if _is_bad(char) else char for char in text)
    return " ".join(text.split())[:limit].strip()


def exact(value: object, field: str, limit: int = VALUE_LENGTH) -> str:
    """Return a value that means nothing when altered (password, user name): as it is, or an error.

    Numbers become their decimal digits. Anything else that is not a string, and space alone, is the empty
    string. Space at an end is an error: most phones would drop it, and then it is another value.

    Raises:
        UnusableValueError: it holds control characters, space at an end, or is longer than `limit`.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return ""
    if not is_clean(value):
        raise UnusableValueError(f"{field} holds a control character")
    if len(value) > limit:
        raise UnusableValueError(f"{field} is longer than {limit} characters")
    if value != value.strip() and value.strip():
        raise UnusableValueError(f"{field} begins or ends with a space")
    return value.strip()


def check_clean(struct: msgspec.Struct) -> None:
    """Refuse a struct that holds unclean text in one of its own fields (nested structs check themselves).

    Raises:
        UnusableValueError: names the struct and the field.
    """
    for field, value in zip(struct.__struct_fields__, msgspec.structs.astuple(struct), strict=True):
        texts: Any = value if isinstance(value, tuple) else (value,)
        for text in texts:
            if type(text) is str and not is_clean(text):
                raise UnusableValueError(f"{type(struct).__name__}.{field} holds a control character")
