"""The syntaxes that phones read: how a value is written in each, and how a file is read back.

Escaping is the syntax's business, never a template author's: every value that a template prints passes
through `Syntax.write`, and nothing switches that off.
"""

import csv
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


class UnwritableError(ValueError):
    """A value that a syntax has no way to write. Says which character, never the value."""


class Syntax(msgspec.Struct, frozen=True):
    """One syntax. `write` turns a clean value into text that cannot end early or start something else.

    `lacks` are characters it has no way to write: `write` refuses them, `display` replaces them.
    """

    name: str
    write: Callable[[str], str]
    parse: Callable[[str], Pairs]
    markup: bool = False
    lacks: dict[str, str] = {}

    @property
    def marks(self) -> bool:
        """Whether writing twice is not the same as once, so that what is written has to be known as such."""
        return self.write is not plain

    def display(self, text: str) -> str:
        """Return a text that is only shown, with what the syntax lacks replaced by something alike."""
        return "".join(self.lacks.get(char, char) for char in text) if self.lacks else text


def plain(value: str) -> str:
    """Values that run to the end of the line: clean text has no line end, so it goes as it is."""
    return value


def _quoted(value: str) -> str:
    """Values between double quotes, for which these formats have no escape."""
    if '"' in value:
        raise UnwritableError("holds a double quote, which this syntax cannot write")
    return value


def _colon(value: str) -> str:
    """Values that run to the end of the line or to a ``#``, which only counts outside of double quotes."""
    if '"' in value or "#" in value or value != value.strip():
        return f'"{_quoted(value)}"'
    return value


def _csv(value: str) -> str:
    """Fields between commas; ``,`` and ``#`` only count outside of double quotes."""
    if '"' in value or "#" in value or "," in value or value != value.strip():
        return f'"{_quoted(value)}"'
    return value


def _vcard(value: str) -> str:
    """Text of a vCard, in which backslash, comma and semicolon mean something."""
    return re.sub(r"([\\,;])", r"\\\1", value)


def xml(value: str) -> str:
    """Text and attributes of XML: `& < > " '` as their references."""
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
        if not equals or not re.fullmatch(r"[A-Za-z0-9_.%/\-]+", name.strip()):
            raise FormatError(f"line {number} is not name = value")
        if "\r" in line:
            raise FormatError(f"line {number} holds a carriage return")
        pairs.append((name.strip(), value.strip()))
    return pairs


def _lines(pattern: str, what: str) -> Callable[[str], Pairs]:
    """Return a parser of files of one parameter a line; `#` begins a comment."""
    form = re.compile(pattern)

    def parse(text: str) -> Pairs:
        pairs = []
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip() or line.lstrip().startswith(("#", ";")):
                continue
            found = form.fullmatch(line.rstrip())
            if not found:
                raise FormatError(f"line {number} is not {what}")
            pairs.append((found["name"], found["value"] or ""))
        return pairs

    return parse


_parse_colon = _lines(r"(?P<name>[A-Za-z][^:=#<>\"]*?) *: ?(?P<value>.*)", "name: value")


def parse_colon(text: str) -> Pairs:
    """Read ``name: value`` lines, where a value may stand between double quotes.

    Raises:
        FormatError: a line is none of these, or a comment cuts a value short.
    """
    pairs = []
    for name, value in _parse_colon(text):
        bare = value[1:-1] if re.fullmatch(r'"[^"]*"', value) else value
        if bare == value and "#" in value:
            raise FormatError(f"the value of {name} runs into a comment")
        pairs.append((name, bare))
    return pairs


def parse_csv(text: str) -> Pairs:
    """Read comma-separated lines: every field by its line and column; ``#`` starts a comment line.

    Raises:
        FormatError: a quote is not closed.
    """
    rows = [line for line in text.split("\n") if line.strip() and not line.startswith("#")]
    try:
        read = list(csv.reader(rows, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise FormatError(f"not comma-separated: {error}") from None
    return [
        (f"{at}/{column}", field) for at, row in enumerate(read, 1) for column, field in enumerate(row, 1)
    ]


def _ini(value: str) -> str:
    """Values in AudioCodes' tables and lines: whatever could end one goes between double quotes."""
    bare = r"[\w.:@+*#/$%\-\x00]*"  # \x00 stands in the place of free settings; no value holds it
    return value if re.fullmatch(bare, _quoted(value)) else f'"{value}"'


def parse_ini(text: str) -> Pairs:
    """Read AudioCodes' ini files: ``Name = value`` lines, and tables of ``Table 0 = a, b;`` lines.

    Raises:
        FormatError: a line is none of these.
    """
    pairs = []
    for number, line in enumerate(text.split("\n"), 1):
        if (
            not line.strip()
            or line.startswith(";")
            or re.fullmatch(r"\[ ?\\?\w+ ?\]|FORMAT \w+ = [\w, ]+;", line)
        ):
            continue
        row = re.fullmatch(r"(?P<name>\w+ \d+) = (?P<value>.*);", line)
        found = row or re.fullmatch(r'(?P<name>\w+) = (?P<value>[^;"]*|"[^"]*")', line)
        if not found:
            raise FormatError(f"line {number} is not name = value, nor of a table")
        if not row:
            pairs.append((found["name"], found["value"].strip('"')))
            continue
        fields = re.fullmatch(r'((?:"[^"]*"|[^",;]*)(?:, ?(?:"[^"]*"|[^",;]*))*)', found["value"])
        if not fields:
            raise FormatError(f"line {number} is no row of a table")
        read = re.findall(r'(?:^|, ?)("[^"]*"|[^",;]*)', found["value"])
        pairs.extend((f"{found['name']}/{column}", field.strip('"')) for column, field in enumerate(read, 1))
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


_parse_vcard = _lines(r"(?P<name>[A-Z]+):(?P<value>.*)", "NAME:value")


def parse_vcard(text: str) -> Pairs:
    """Read vCards (RFC 6350): ``NAME:value`` lines, where a backslash stands before what would mean something.

    Raises:
        FormatError: a line is none of these, or a value is more than one.
    """
    pairs = []
    for name, value in _parse_vcard(text):
        if re.search(r"(?<!\\)(?:\\\\)*[,;]", value):
            raise FormatError(f"the value of {name} is more than one")
        pairs.append((name, re.sub(r"\\(.)", r"\1", value)))
    return pairs


def parse_fanvil_text(text: str) -> Pairs:
    """Read Fanvil's ``name :value`` lines; `<…>` begins a module, `--…--` a block, and names are of these.

    Raises:
        FormatError: a line is none of these.
    """
    pairs: Pairs = []
    module = block = ""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or re.fullmatch(r"<<[A-Z ]+>>(Version:[0-9.]+)?", line):
            continue
        if found := re.fullmatch(r"<([A-Z0-9 ]+)>", line):
            module, block = found[1], ""
        elif found := re.fullmatch(r"--([A-Za-z0-9 ]+)--:", line):
            block = found[1]
        else:
            name, colon, value = line.partition(":")
            if not colon or not re.fullmatch(r"[A-Za-z][A-Za-z0-9 _\-]*", name):
                raise FormatError(f"line {number} is not name :value")
            pairs.append((f"{module}/{block}/{name.strip()}", value))
    return pairs


_QUOTE = {'"': "'"}

SYNTAXES = {
    syntax.name: syntax
    for syntax in (
        Syntax("key-value", plain, parse_key_value),
        Syntax("xml", xml, parse_xml, markup=True),
        Syntax("colon", _colon, parse_colon, lacks=_QUOTE),
        Syntax("vcard", _vcard, parse_vcard),
        Syntax("csv", _csv, parse_csv, lacks=_QUOTE),
        Syntax("ini", _ini, parse_ini, lacks=_QUOTE),
        Syntax(
            "quoted",
            _quoted,
            _lines(r'(?P<name>[A-Za-z0-9_]+)="(?P<value>[^"]*)"', 'NAME="value"'),
            lacks=_QUOTE,
        ),
        Syntax(
            "quoted-colon",
            _quoted,
            _lines(r'(?P<name>[A-Za-z0-9_]+) *: *"(?P<value>[^"]*)"', 'name: "value"'),
            lacks=_QUOTE,
        ),
        Syntax(
            "set",
            _quoted,
            _lines(
                r'(?:SET (?=[A-Z0-9_]+ ")|(?=GET [^ "]+$))(?P<name>[A-Z0-9_]+) "?(?P<value>[^"]*)"?',
                'SET NAME "value" or GET name',
            ),
            lacks=_QUOTE,
        ),
        Syntax("fanvil-text", plain, parse_fanvil_text),
    )
}


def duplicates(pairs: Pairs) -> list[str]:
    """Return the parameters that stand more than once."""
    seen: set[str] = set()
    return [name for name, _ in pairs if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
