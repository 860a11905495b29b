"""Free settings: parameters that somebody named by the maker's own name, put into a phone's finished files.

Where one of our templates writes the parameter, ours counts, unless the operator said `override`; a document
never overrides. Names were checked before (`catalogue.fit.admit`); values are written by the syntax.
"""

import re
from collections.abc import Sequence

from kazoo_provisioner.model.phone import Parameter
from kazoo_provisioner.render.formats import Syntax, UnwritableError

PLACE = "\x00parameters\x00"
"""What ``{{ parameters }}`` prints: no value can hold it."""

OURS = "not used: our templates write it; `override: true` in the settings replaces it"


def placed(
    texts: list[str], syntaxes: Sequence[Syntax], parameters: tuple[Parameter, ...], form: str | None
) -> tuple[list[str], dict[str, str]]:
    """Return the files of a phone with its parameters in them, and what became of each, in words."""
    became: dict[str, str] = {}
    extra: list[str] = []
    where = next((n for n, text in enumerate(texts) if PLACE in text), None)
    for one in parameters:
        if form is None or where is None:
            became[one.name] = "not used: this family takes no free settings"
            continue
        standing = _standing(form, one.name, markup=syntaxes[where].markup)
        found = [n for n, text in enumerate(texts) if standing.search(text)]
        if found and not one.override:
            became[one.name] = OURS
            continue
        try:
            line = form.replace("{name}", one.name).replace("{value}", syntaxes[where].write(one.value))
        except UnwritableError as error:
            became[one.name] = f"not used: its value {error}"
            continue
        for n in found:
            texts[n] = standing.sub(lambda _, line=line: line, texts[n])  # type: ignore[misc]
        if not found:
            extra.append(line)
        became[one.name] = "replaces ours" if found else "added"
    block = "".join(f"{line}\n" for line in extra)
    return [_filled(text, block) for text in texts], became


def named(text: str, form: str, names: str) -> list[tuple[str, str]]:
    """Return the parameters (name, value as it is written) that stand in a file in a family's form."""
    before, _, rest = form.partition("{name}")
    between, _, after = rest.replace("{name}", "(?P=name)").partition("{value}")
    value = rf"[^{re.escape(after[0])}\n]*" if after else r"[^\n]*"
    between = re.escape(between).replace(re.escape("(?P=name)"), "(?P=name)")
    found = re.finditer(
        rf"(?<![^\s>]){re.escape(before)}(?P<name>{names}){between}(?P<value>{value}){re.escape(after[:1])}",
        text,
    )
    return [(match["name"], match["value"]) for match in found]


def _filled(text: str, block: str) -> str:
    return text.replace(f"{PLACE}\n", block).replace(PLACE, block)


def _standing(form: str, name: str, *, markup: bool) -> re.Pattern[str]:
    """Return the expression that finds a parameter as our templates write it: in markup anywhere, else as a line."""
    before, _, after = form.replace("{name}", name).partition("{value}")
    value = r"[^\n]*" if not after else rf"[^{re.escape(after[0])}\n]*"
    start = r"(?<![^\s>])" if markup else "^"
    return re.compile(rf"{start}{re.escape(before)}{value}{re.escape(after)}", re.IGNORECASE | re.MULTILINE)
