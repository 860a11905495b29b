"""The catalogue: every brand.yaml and family.yaml of the template folder, checked as a whole."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kazoo_provisioner.catalogue.folders import BUNDLED, Folder, Folders
from kazoo_provisioner.catalogue.models import (
    Brand,
    BrandSpec,
    Family,
    FamilySpec,
    FileSpec,
    Model,
    ModelSpec,
)
from kazoo_provisioner.yamlfile import SettingsError, convert, line_of, read_yaml

_VARIABLE = re.compile(r"\{(\w+)\}")
_OF_PHONE = frozenset({"mac", "MAC"})


class CatalogueError(Exception):
    """What is wrong with the families, one sentence each; every one names its file."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


class Catalogue:
    """All families, and the way from what a document says to a model."""

    def __init__(self, families: list[Family], folders: Folders) -> None:
        self.folders = folders
        self.families = {family.id: family for family in families}
        self.brands = {family.brand.id: family.brand for family in families}
        self._brands: dict[str, str] = {}
        self._models: dict[tuple[str, str], Model] = {}
        for brand in self.brands.values():
            for name in (brand.id, *brand.spec.aliases):
                self._brands[name] = brand.id
        for family in families:
            for model in family.models.values():
                for name in (model.id, *model.aliases):
                    self._models[model.brand, name] = model

    def family_of(self, model: Model) -> Family:
        """Return the family a model belongs to."""
        return self.families[f"{model.brand}/{model.family}"]

    @property
    def owners(self) -> list[Family | Brand]:
        """Return whoever has files: brands and families."""
        return [*self.brands.values(), *self.families.values()]

    @property
    def digests(self) -> dict[str, str]:
        """Return the digest of each brand and family."""
        return {owner.id: owner.digest for owner in self.owners}

    def owner(self, owner_id: str) -> Family | Brand | None:
        """Return the family (`brand/family`) or brand (`brand`) of that id, or None."""
        return self.families.get(owner_id) or self.brands.get(owner_id)

    def brand(self, brand: Any) -> str | None:
        """Return our id of a brand as a document names it, or None."""
        return self._brands.get(_id(brand))

    def resolve(self, brand: Any, model: Any) -> Model | None:
        """Return the model that `provision.endpoint_brand` and `endpoint_model` name, or None.

        The model can be a string, a number (Kazoo 4.3) or a list of which the first known wins. The
        family is not asked: model ids are unique within a brand, and UIs save wrong families.
        """
        ours = self.brand(brand)
        if ours is None:
            return None
        for one in model if isinstance(model, list) else (model,):
            found = self._models.get((ours, _id(one)))
            if found:
                return found
        return None


def _id(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return re.sub(r"\s+", "", str(value)[:80].lower())


def load(where: Path | Sequence[Folder] = BUNDLED) -> Catalogue:
    """Read every family of a folder, or of several, the strongest first.

    Raises:
        CatalogueError: with every error found, not just the first.
    """
    folders = Folders((Folder(where),) if isinstance(where, Path) else where)
    errors: list[str] = []
    families: list[Family] = []
    brands: dict[str, Brand | None] = {}
    names = folders.families()
    if not names:
        said = ", ".join(str(folder.path) for folder in folders.all)
        raise CatalogueError([f"{said}: holds no <brand>/<family>/family.yaml"])
    for name in names:
        brand = name.partition("/")[0]
        try:
            if brand not in brands:
                brands[brand] = None
                brands[brand] = _brand(folders, brand)
            of = brands[brand]
            if of is not None:
                families.append(_family(folders, name, of))
        except SettingsError as error:
            errors.append(str(error))
    errors += _clashes(families, folders)
    if errors:
        raise CatalogueError(errors)
    return Catalogue(families, folders)


def _brand(folders: Folders, brand: str) -> Brand:
    spec = BrandSpec(brand.capitalize())
    for path in folders.find(f"{brand}/brand.yaml")[:1]:
        spec = convert(read_yaml(path), BrandSpec, path)
        for file in spec.files:
            if file.scope not in ("brand", "account") or file.models:
                raise _wrong(path, "files", file.name, "a brand's files are of scope brand or account")
            if not re.fullmatch(r"[^/]+\.j2", file.template):
                raise _wrong(path, "files", file.template, "a brand's templates are <brand>/<name>.j2")
            if file.syntax is None:
                raise _wrong(path, "files", file.name, "syntax: say which")
            if "{" in file.name:
                raise _wrong(path, "files", file.name, "a brand's file knows no model and no phone")
            _check_file(folders, file, brand, path)
        _check_patterns(spec, path)
    digest = folders.digest((f"{brand}/*.j2", f"{brand}/brand.yaml"))
    return Brand(brand, spec, brand, digest)


def _raw(paths: list[Path]) -> Any:
    """Read a family.yaml; one with ``extends: true`` is laid over the one it stands before."""
    raw = read_yaml(paths[0])
    if not isinstance(raw, dict) or not raw.pop("extends", False):
        return raw
    if len(paths) < 2:
        raise SettingsError(f"{paths[0]}: extends: there is no family below it")
    under = _raw(paths[1:])
    models = raw.get("models", {})
    if not isinstance(under, dict) or not isinstance(models, dict):
        return raw
    return under | raw | {"models": under.get("models", {}) | models}


def _family(folders: Folders, name: str, of: Brand) -> Family:
    paths = folders.find(f"{name}/family.yaml")
    path = paths[0]
    spec: FamilySpec = convert(_raw(paths), FamilySpec, path)
    if f"{spec.brand}/{spec.family}" != name:
        raise SettingsError(
            f"{path}: {line_of(path, 'family')}says {spec.brand}/{spec.family} but lies in {name}"
        )
    if spec.family.startswith("f") or re.fullmatch(r"-?[0-9]+(e-?[0-9]+)?|0[xbo][0-9a-f]+", spec.family):
        raise _wrong(
            path, "family", spec.family, "Kazoo cuts a leading f, and kazoo-ui makes numbers of 335 and 3e2"
        )
    models = {}
    for model_id, one in spec.models.items():
        models[model_id] = _model(spec, model_id, one, path)
    for at, many in (("files", spec.files), ("cannot", spec.cannot.values())):
        for name_ in (model for one in many for model in one.models if model not in models):
            raise _wrong(path, at, name_, "models: no such model here")
    _check_patterns(spec, path)
    digest = folders.digest((f"{of.id}/*.j2", f"{of.id}/brand.yaml", f"{name}/**/*"))
    result = Family(spec, of, models, name, digest)
    for file in spec.files:
        if file.scope == "brand":
            raise _wrong(path, "files", file.name, "a file of scope brand stands in brand.yaml")
        _check_file(folders, file, name, path)
    for model in models.values():
        _check_names(result, model, path)
    return result


def _check_patterns(spec: FamilySpec | BrandSpec, path: Path) -> None:
    fields = {"guarded": spec.guarded}
    if isinstance(spec, FamilySpec):
        fields |= {
            "repeats": spec.repeats,
            "user_agents": spec.user_agents,
            "parameter_name": (spec.parameter_name,),
        }
    for field, patterns in fields.items():
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise _wrong(path, field, pattern, str(error)) from error


def _wrong(path: Path, at: str, name: str, text: str) -> SettingsError:
    """Return an error that names file, line and key."""
    return SettingsError(f"{path}: {line_of(path, *at.split('.'), name)}{at}: {name}: {text}")


def _check_file(folders: Folders, file: FileSpec, folder: str, path: Path) -> None:
    """Refuse a file whose name needs more than its scope knows, or whose template is not there."""
    named = set(_VARIABLE.findall(file.name))
    of_phone = named & _OF_PHONE
    if file.scope == "phone" and not of_phone:
        raise _wrong(path, "files", file.name, "a file of scope phone needs {mac} or {MAC} in its name")
    if file.scope != "phone" and of_phone:
        raise _wrong(path, "files", file.name, f"a file of scope {file.scope} knows no MAC address")
    if file.scope == "account" and named:
        raise _wrong(path, "files", file.name, "a file of scope account knows no model")
    if re.search(r"[{}]", _VARIABLE.sub("", file.name)):
        raise _wrong(path, "files", file.name, "a brace without its partner")
    if not folders.find(f"{folder}/{file.template}"):
        raise _wrong(path, "files", file.template, "no such template")


def _check_names(family: Family, model: Model, path: Path) -> None:
    if reserved := model.vars.keys() & {"model", *_OF_PHONE}:
        raise _wrong(path, f"models.{model.id}.vars", ", ".join(sorted(reserved)), "means something else")
    names: set[str] = set()
    for file in files_of(family, model):
        try:
            name = file_name(file, model, "00156527c98e")
        except KeyError as error:
            raise _wrong(path, "files", file.name, f"{model.id} has no var {error}") from None
        if not re.fullmatch(r"[A-Za-z0-9_.\-]{1,120}", name) or name in (".", ".."):
            raise _wrong(path, "files", file.name, f"{model.id} makes a name of it that no URL can hold")
        if name in names:
            raise _wrong(path, "files", file.name, f"{model.id} has two files of that name")
        names.add(name)


def _model(spec: FamilySpec, model_id: str, one: ModelSpec, path: Path) -> Model:
    def pick(field: str, fallback: Any = None) -> Any:
        value = getattr(one, field)
        value = getattr(spec.defaults, field) if value is None else value
        value = fallback if value is None else value
        if value is None:
            raise _wrong(path, f"models.{model_id}", field, "give it here or in defaults")
        return value

    codecs = pick("codecs", spec.codecs)
    return Model(
        brand=spec.brand,
        family=spec.family,
        id=model_id,
        name=pick("name", model_id.upper()),
        aliases=one.aliases,
        lines=pick("lines"),
        keys=pick("keys"),
        feature_keys=pick("feature_keys", 0),
        modules=pick("modules", 0),
        module_keys=pick("module_keys", 0),
        codecs=codecs,
        vars={**spec.defaults.vars, **one.vars},
        kind=pick("kind", "desk"),
        sources=one.sources,
        sure=bool(pick("sure", 0)),
    )


def _clashes(families: list[Family], folders: Folders) -> list[str]:
    """Find ids that two models share: within a brand all names, over all brands the model ids."""

    def at(owner: str, kind: str, *words: str) -> str:
        name = f"{owner}/{kind}.yaml"
        return f"{name}: {''.join(line_of(path, *words) for path in folders.find(name)[:1])}"

    errors = []
    by_name: dict[tuple[str, str], str] = {}
    by_id: dict[str, str] = {}
    brands: dict[str, str] = {}
    files: dict[str, str] = {}
    for of in {family.brand.id: family.brand for family in families}.values():
        for file in of.spec.files:
            other = files.setdefault(file.name.lower(), of.id)
            if other != of.id:
                errors.append(f"{at(of.id, 'brand', file.name)}files: {file.name} is also a file of {other}")
        for name in (of.id, *of.spec.aliases):
            other = brands.setdefault(name, of.id)
            if other != of.id:
                errors.append(f"{at(of.id, 'brand', name)}aliases: {name} also means {other}")
    for family in families:
        for name in sorted(_common_names(family)):
            other = files.setdefault(name, family.id)
            if other != family.id:
                errors.append(f"{at(family.id, 'family', 'files')}files: {name} is also a file of {other}")
        for model in family.models.values():
            ours = f"{family.id}/{model.id}"
            for name in {model.id, *model.aliases}:
                other = by_name.setdefault((model.brand, name), ours)
                if other != ours:
                    errors.append(
                        f"{at(family.id, 'family', 'models', model.id, name)}{name} is also {other}"
                    )
            other = by_id.setdefault(model.id, ours)
            if other != ours:
                errors.append(
                    f"{at(family.id, 'family', 'models', model.id)}{model.id} is also {other}; old kazoo-ui needs them unique"
                )
    return errors


def _common_names(family: Family) -> set[str]:
    """Return the names, in lower case, of a family's files that name no phone."""
    return {
        file_name(file, None if file.scope == "account" else model).lower()
        for model in family.models.values()
        for file in files_of(family, model)
        if file.scope != "phone"
    }


def files_of(family: Family, model: Model) -> list[FileSpec]:
    """Return the files that one model's phones ask for."""
    return [file for file in family.spec.files if not file.models or model.id in file.models]


def file_name(file: FileSpec, model: Model | None, mac: str = "") -> str:
    """Return a file's real name.

    Raises:
        KeyError: the pattern names a var that the model has not.
    """
    values: dict[str, Any] = {"mac": mac, "MAC": mac.upper()}
    if model:
        values |= {"model": model.id, **model.vars}
    return _VARIABLE.sub(lambda match: str(values[match[1]]), file.name)
