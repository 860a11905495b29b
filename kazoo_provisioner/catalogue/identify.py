"""Who asks, by what they call themselves and by what they ask for: hints for people, never proof.

Anybody can send any User-Agent and ask for any name, and the maker of a network address says little: what a phone
gets is decided by documents alone.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

from kazoo_provisioner.catalogue.load import Catalogue
from kazoo_provisioner.catalogue.models import Family, Model
from kazoo_provisioner.model.ids import parse_mac

_LIMIT = 256
"""Characters of a User-Agent or name that are looked at."""

_MAC = r"(?P<mac>[0-9a-f]{2}(?:[:-]?[0-9a-f]{2}){5})"


class Seen(Struct, frozen=True):
    """What a phone says of itself; each can be empty. `model` is our id, `said` the phone's own word for it."""

    brand: str
    family: str = ""
    model: str = ""
    said: str = ""
    firmware: str = ""
    mac: str = ""


class Identifier:
    """The patterns of a catalogue, compiled."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._agents: list[tuple[Family, list[re.Pattern[str]]]] = []
        self._files: list[tuple[Family, re.Pattern[str]]] = []
        self._names: dict[tuple[str, str], Model] = {}
        self._of_model: dict[str, tuple[Family, list[re.Pattern[str]]]] = {}
        self._makers = {
            oui: brand.spec.name for brand in catalogue.brands.values() for oui in brand.spec.ouis
        }
        for family in catalogue.families.values():
            patterns = [re.compile(one, re.IGNORECASE) for one in family.spec.user_agents]
            self._agents.append((family, patterns))
            self._files += [(family, pattern) for pattern in _file_patterns(family)]
            for model in family.models.values():
                self._of_model[model.id] = (family, patterns)
                for name in (model.name, *model.aliases, model.id):
                    self._names[model.brand, _bare(name)] = model

    def agent(self, text: str) -> Seen | None:
        """Return what a User-Agent says, or None where it is none of a phone's that we know."""
        text = text[:_LIMIT]
        found = [seen for entry in self._agents for seen in self._seen(entry, text)]
        # Families of a brand share words: the one that knows the model knows best.
        return next((seen for seen in found if seen.model), found[0] if found else None)

    def file(self, name: str) -> tuple[list[str], str]:
        """Return the families whose phones ask for such a name, and the MAC address in it or the empty string."""
        families, mac = [], ""
        for family, pattern in self._files:
            match = pattern.fullmatch(name[:_LIMIT])
            if match:
                said = parse_mac(match.groupdict().get("mac"))
                if "mac" in match.groupdict() and said is None:
                    continue  # zeros are a phone's word for "any phone"
                families += [family.id] if family.id not in families else []
                mac = said or mac
        return families, mac

    def maker(self, mac: str) -> str:
        """Return whose phones have MAC addresses that begin so; empty where we do not know."""
        return self._makers.get(mac[:6], "")

    def mismatch(self, model: str, agent: str) -> Seen | None:
        """Return what a User-Agent says where that is another model than the one whose files it gets."""
        entry = self._of_model.get(model)
        text = agent[:_LIMIT]
        if entry is None or not text or any(seen.model == model for seen in self._seen(entry, text)):
            return None
        seen = self.agent(text)
        if seen is None or seen.model == model or (not seen.model and seen.brand == entry[0].brand.id):
            return None
        return seen

    def _seen(self, entry: tuple[Family, list[re.Pattern[str]]], text: str) -> Iterator[Seen]:
        family, patterns = entry
        for pattern in patterns:
            match = pattern.search(text)
            if match:
                groups = {name: value or "" for name, value in match.groupdict().items()}
                said = groups.get("model", "")
                model = self._names.get((family.brand.id, _bare(said))) if said else None
                yield Seen(
                    family.brand.id,
                    model.family if model else family.spec.family,
                    model.id if model else "",
                    said,
                    groups.get("firmware", ""),
                    parse_mac(groups.get("mac")) or "",
                )


def _bare(name: str) -> str:
    return re.sub(r"[\s\-_.]", "", name.lower())


def _file_patterns(family: Family) -> Iterator[re.Pattern[str]]:
    """Yield the expressions of the names that a family's phones ask for, in any case."""
    names = [file.name for file in (*family.spec.files, *family.brand.spec.files)]
    for name in dict.fromkeys((*names, *family.spec.asks)):
        parts = re.split(r"(\{\w+\}|\*)", name)
        models = sorted(family.models.values(), key=lambda model: model.id)
        pattern, seen = "", False
        for part in parts:
            if part in ("{mac}", "{MAC}"):
                pattern += r"[0-9a-fA-F]{12}" if seen else _MAC
                seen = True
            elif part == "*":
                pattern += r"[^/]*"
            elif part.startswith("{"):
                values = {str(m.vars.get(part[1:-1], m.id if part == "{model}" else "")) for m in models}
                pattern += f"(?:{'|'.join(re.escape(value) for value in sorted(values) if value)})"
            else:
                pattern += re.escape(part)
        yield re.compile(pattern, re.IGNORECASE)
