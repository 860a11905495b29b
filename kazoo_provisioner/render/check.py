"""Whether templates make what they should: every model, rendered with sample phones and read back."""

import re
from collections import Counter
from collections.abc import Collection

from kazoo_provisioner.catalogue.models import Brand, Family, FileSpec, Model
from kazoo_provisioner.model.phone import Phone
from kazoo_provisioner.render import samples
from kazoo_provisioner.render.engine import File, Renderer
from kazoo_provisioner.render.errors import RenderError
from kazoo_provisioner.render.formats import SYNTAXES, FormatError, Pairs, duplicates
from kazoo_provisioner.render.free import named


def parse(owner: Family | Brand, file: File) -> Pairs:
    """Read a finished file back, by the syntax that its family or brand gives it.

    Raises:
        FormatError: it does not follow its syntax.
    """
    usual = owner.spec.syntax if isinstance(owner, Family) else ""
    return SYNTAXES[_spec(owner, file).syntax or usual].parse(file.data.decode())


def _spec(family: Family | Brand, file: File) -> FileSpec:
    for spec in family.spec.files:
        pattern = "".join(
            r"[\w.-]+?" if part.startswith("{") else re.escape(part)
            for part in re.split(r"(\{\w+\})", spec.name)
        )
        if (
            spec.type == file.type
            and re.fullmatch(pattern, file.name)
            and (spec.scope == "phone") == file.sensitive
        ):
            return spec
    raise FormatError(f"{family.id} makes no file {file.name}")


def problems(renderer: Renderer, only: Collection[str] | None = None) -> list[str]:
    """Return what is wrong with the templates of a catalogue, a sentence each; nothing: all is well.

    `only`: of these families and brands alone.
    """
    found: list[str] = []
    for owner in renderer.catalogue.owners:
        if only is not None and owner.id not in only:
            continue
        try:
            shared = renderer.common_files(owner) + renderer.account_files(owner, samples.PHONEBOOK)
            for file in shared:
                found += _wrong_with(owner, file, owner.id)
        except RenderError as error:
            found.append(str(error))
    for family in renderer.catalogue.families.values():
        if only is not None and family.id not in only:
            continue
        for model in family.models.values():
            for name, make in samples.SAMPLES.items():
                found += _wrong_with_model(renderer, family, model, name, make(model))
    return list(dict.fromkeys(found))


def _wrong_with_model(
    renderer: Renderer, family: Family, model: Model, sample: str, phone: Phone
) -> list[str]:
    what = f"{family.id}/{model.id} with sample {sample!r}"
    try:
        files = renderer.phone_files(phone, model)
    except RenderError as error:
        return [f"{what}: {error}"]
    found = [problem for file in files for problem in _wrong_with(family, file, what)]
    if phone.lines and not found:
        values = {name.rpartition("@")[2]: value for file in files for name, value in parse(family, file)}
        values |= {name: value for file in files for name, value in _by_form(family, file)}
        found += [
            f"{what}: {name} is missing or empty" for name in family.spec.required if not values.get(name)
        ]
    return found


def _wrong_with(family: Family | Brand, file: File, what: str) -> list[str]:
    try:
        pairs = parse(family, file)
    except FormatError as error:
        return [f"{what}: {file.name}: {error}"]
    repeats = family.spec.repeats if isinstance(family, Family) else ()
    named_ = _by_form(family, file) if isinstance(family, Family) and file.sensitive else []
    found = dict.fromkeys((*duplicates(pairs), *duplicates(named_)))
    twice = [name for name in found if not any(re.fullmatch(one, name) for one in repeats)]
    return [f"{what}: {file.name}: {name} stands there twice" for name in twice]


def _by_form(family: Family, file: File) -> Pairs:
    """Return the parameters of a file in the form that the family gives: in XML an element's path says too little."""
    spec = family.spec
    return named(file.data.decode(), spec.parameter, spec.parameter_name) if spec.parameter else []


def collapsed(found: list[str]) -> list[str]:
    """Say what is wrong with many models or samples once: the first of them, and how many more."""
    first: dict[str, str] = {}
    more: Counter[str] = Counter()
    for problem in found:
        case, said, reason = problem.partition(": ")
        key = reason if said and re.fullmatch(r"[\w-]+(/[\w-]+)+( with sample '.*')?", case) else problem
        if key in first:
            more[key] += 1
        first.setdefault(key, problem)
    return [
        f"{problem} (and {more[key]} more models or samples)" if more[key] else problem
        for key, problem in first.items()
    ]
