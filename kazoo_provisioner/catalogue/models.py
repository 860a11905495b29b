"""What a brand, a family and a model are: the shape of `vendor_templates/<brand>/<family>/family.yaml`."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from kazoo_provisioner.model.phone import Codec

Id = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,40}\Z")]
Count = Annotated[int, Meta(ge=0, le=999)]
Scope = Literal["phone", "model", "family", "account"]


class FileSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A file that a family's phones ask for.

    `name` may hold ``{mac}``, ``{MAC}``, ``{model}`` and the model's `vars`. By `scope` it is made for each
    phone, once for each model, once for the family, or for each account that has such phones (its
    phonebook). Only files of scope phone see a `Phone`, so only they can hold a secret.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.{}\-]{1,100}\Z")]
    template: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_./\-]{1,100}\Z")]
    scope: Scope = "phone"
    type: str = "text/plain; charset=utf-8"
    syntax: str | None = None
    models: tuple[Id, ...] = ()
    """Only for these models; none named: for all."""


class Cannot(Struct, frozen=True, forbid_unknown_fields=True):
    """A field of `Phone` that these phones have no parameter for, and who says so."""

    why: str
    source: str
    models: tuple[Id, ...] = ()


class ModelSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One model. What it leaves out it takes from its family's `defaults`."""

    name: str | None = None
    aliases: tuple[Id, ...] = ()
    lines: Annotated[int, Meta(ge=1, le=250)] | None = None
    keys: Count | None = None
    feature_keys: Count | None = None
    modules: Annotated[int, Meta(ge=0, le=10)] | None = None
    module_keys: Count | None = None
    codecs: tuple[Codec, ...] | None = None
    vars: dict[str, str | int | bool] = {}
    sources: tuple[str, ...] = ()
    sure: bool | None = None


class FamilySpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A family.yaml. `cannot`, `documented` and `doubts` are for its readers and for tests."""

    brand: Id
    family: Id
    brand_name: str
    name: str
    syntax: str
    codecs: Annotated[tuple[Codec, ...], Meta(min_length=1)]
    models: Annotated[dict[Id, ModelSpec], Meta(min_length=1)]
    files: Annotated[tuple[FileSpec, ...], Meta(min_length=1)]
    brand_aliases: tuple[Id, ...] = ()
    defaults: ModelSpec = ModelSpec()
    user_agents: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    """Names of parameters that must be there, with a value, in the files of a phone with a line."""
    repeats: tuple[str, ...] = ()
    """Names of parameters that may stand more than once in a file."""
    cannot: dict[str, Cannot] = {}
    documented: dict[str, str] = {}
    """Parameter names that our lists of names lack, and the vendor's guide that has them."""
    doubts: tuple[str, ...] = ()


class Model(Struct, frozen=True):
    """A model with everything settled.

    `keys` are the programmable keys of the body, all pages; keys beyond them go on to `modules` expansion
    modules of `module_keys` each. `feature_keys` is the size of the second group. `codecs` are those it
    speaks. `vars` are its family's own data for templates, such as the code in a file name.
    """

    brand: str
    family: str
    id: str
    name: str
    aliases: tuple[str, ...]
    lines: int
    keys: int
    feature_keys: int
    modules: int
    module_keys: int
    codecs: tuple[Codec, ...]
    vars: dict[str, str | int | bool]
    sources: tuple[str, ...]
    sure: bool

    @property
    def all_keys(self) -> int:
        """Keys of the body and of every module it can carry."""
        return self.keys + self.modules * self.module_keys


class Family(Struct, frozen=True):
    """A family: its specification, its models, the folder of its templates and a digest of all its files."""

    spec: FamilySpec
    models: dict[str, Model]
    folder: str
    digest: str

    @property
    def id(self) -> str:
        """`brand/family`."""
        return f"{self.spec.brand}/{self.spec.family}"
