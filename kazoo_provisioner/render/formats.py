"""The syntaxes that phones read: how a value is written in each, and how a file is read back.

Escaping is the syntax's business, never a template author's: every value that a template prints passes
through `Syntax.write`, and nothing switches that off.
"""

import re
from collections.abc import Callable
from typing import Any
from xml.parsers import expat

import msgspec
from markupsafe import escape

Pairs = list[tuple[str, str]]
"""A file read back: (parameter, value) in order. XML parameters are paths such as ``/a/b[2]/@c``."""


class FormatError(ValueError):
    """A rendered file does not follow its syntax. Says where and what, not the value."""


class Syntax(msgspec.Struct, frozen=True):
    """One syntax. `write` turns a clean value into text that cannot end early or start something else."""

    name: str
    write: Callable[[str], str]
    parse: Callable[[str], Pairs]
    markup: bool = False


def _plain(value: str) -> str:
    """Values that run to the end of the line: clean text has no line end, so it goes as it is."""
    return value


def _xml(value: str) -> str:
    return str(escape(value))


def parse_key_value(text: str) -> Pairs:
    """Read ``name = value`` lines; ``#`` starts a comment line, ``[…]`` a section.

    Raises:
        FormatError: a line is none of these.
    """
    pairs = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#") or re.fullmatch(r"\s*\[[^\]]*\]\s*", line):
            continue
        if "=" not in line and re.match(r"include:config ", line):
            pairs.append(("include:config", line.partition(" ")[2]))
            continue
        name, equals, value = line.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9_.%\-]+", name.strip()):
            raise FormatError(f"line {number} is not name = value")
        if "\r" in line:
            raise FormatError(f"line {number} holds a carriage return")
        pairs.append((name.strip(), value.strip()))
    return pairs


def parse_xml(text: str) -> Pairs:
    """Read XML: every attribute and every text, by the path of its element.

    Raises:
        FormatError: not well-formed, or it has a document type.
    """
    pairs: Pairs = []
    path: list[str] = []
    counts: list[dict[str, int]] = [{}]
    texts: list[list[str]] = []
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        counts[-1][tag] = counts[-1].get(tag, 0) + 1
        path.append(f"{tag}[{counts[-1][tag]}]")
        counts.append({})
        texts.append([])
        at = "/" + "/".join(path)
        pairs.extend((f"{at}/@{name}", value) for name, value in attributes.items())

    def end(_tag: str) -> None:
        at = "/" + "/".join(path)
        value = "".join(texts.pop()).strip()
        if value:
            pairs.append((at, value))
        path.pop()
        counts.pop()

    def characters(data: str) -> None:
        texts[-1].append(data)

    def doctype(*_: Any) -> None:
        raise FormatError("holds a document type")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text.encode(), True)  # noqa: FBT003 - expat's own signature
    except expat.ExpatError as error:
        raise FormatError(f"line {error.lineno}: {expat.errors.messages[error.code]}") from None
    return pairs


SYNTAXES = {
    syntax.name: syntax
    for syntax in (
        Syntax("key-value", _plain, parse_key_value),
        Syntax("xml", _xml, parse_xml, markup=True),
    )
}


def duplicates(pairs: Pairs) -> list[str]:
    """Return the parameters that stand more than once."""
    seen: set[str] = set()
    return [name for name, _ in pairs if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
