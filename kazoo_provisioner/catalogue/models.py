"""What a brand, a family and a model are: the shape of `vendor_templates/<brand>/{brand,<family>/family}.yaml`."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from kazoo_provisioner.model.phone import Codec

Id = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,40}\Z")]
Count = Annotated[int, Meta(ge=0, le=999)]
BrandId = Annotated[str, Meta(pattern=r"^[a-z0-9]{1,40}\Z")]
"""Monster-UI turns every other character into a space."""
Scope = Literal["phone", "model", "family", "brand", "account"]
Kind = Literal["desk", "conference", "dect", "ata", "door", "speaker", "softphone", "video"]


class FileSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A file that a family's phones ask for.

    `name` may hold ``{mac}``, ``{MAC}``, ``{model}`` and the model's `vars`. By `scope` it is made for each
    phone, once for each model, once for the family or the brand, or for each account that has such phones
    (its phonebook). Only files of scope phone see a `Phone`, so only they can hold a secret.
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
    kind: Kind | None = None
    sources: tuple[str, ...] = ()
    """Its own: where these counts come from."""
    sure: bool | None = None


class BrandSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A brand.yaml. `files` are those that phones of several families ask for by one fixed name."""

    name: str
    aliases: tuple[Id, ...] = ()
    files: tuple[FileSpec, ...] = ()
    guarded: tuple[str, ...] = ()
    """What all its families guard."""
    ouis: tuple[Annotated[str, Meta(pattern=r"^[0-9a-f]{6}\Z")], ...] = ()
    """How MAC addresses of its phones begin: some of them, and a hint."""


class FamilySpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A family.yaml. `cannot`, `documented`, `doubts`, `guides` and `names` are for its readers and for tests."""

    brand: BrandId
    family: Id
    name: str
    syntax: str
    codecs: Annotated[tuple[Codec, ...], Meta(min_length=1)]
    models: Annotated[dict[Id, ModelSpec], Meta(min_length=1)]
    files: Annotated[tuple[FileSpec, ...], Meta(min_length=1)]
    defaults: ModelSpec = ModelSpec()
    user_agents: tuple[str, ...] = ()
    """What its phones call themselves: regular expressions with the groups `model`, `firmware` and `mac`."""
    asks: tuple[Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.{}*/\-]{1,100}\Z")], ...] = ()
    """Names its phones ask for besides, with ``{mac}``, ``{MAC}`` and ``*``: a 404 on these is everyday."""
    resync: str = ""
    """The SIP NOTIFY event that makes its phones fetch their files."""
    parameter: Annotated[str, Meta(pattern=r"^[^{}\n]*\{name\}[^{}\n]*\{value\}[^\n]*\Z")] | None = None
    """How a parameter stands in the phone's file, with ``{name}`` and ``{value}``; none: it takes no free settings."""
    parameter_name: str = r"[A-Za-z][A-Za-z0-9_.%/\-]{0,99}"
    """What the name of a parameter may be."""
    guarded: tuple[str, ...] = ()
    """Names that operators alone may set: regular expressions of whole names, in any case."""
    guides: tuple[str, ...] = ()
    """The maker's documents, or others, that confirm files and syntax."""
    names: str | None = None
    """The list of parameter names that tests hold the golden files against; none: that of the brand."""
    required: tuple[str, ...] = ()
    """Names of parameters that must be there, with a value, in the files of a phone with a line."""
    repeats: tuple[str, ...] = ()
    """Names of parameters that may stand more than once in a file: regular expressions of whole names."""
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
    kind: Kind
    sources: tuple[str, ...]
    sure: bool

    @property
    def all_keys(self) -> int:
        """Keys of the body and of every module it can carry."""
        return self.keys + self.modules * self.module_keys


class Brand(Struct, frozen=True):
    """A brand: its specification, the folder of its templates and a digest of its shared files."""

    id: str
    spec: BrandSpec
    folder: str
    digest: str


class Family(Struct, frozen=True):
    """A family: its specification, its models, the folder of its templates and a digest of all its files."""

    spec: FamilySpec
    brand: Brand
    models: dict[str, Model]
    folder: str
    digest: str

    @property
    def id(self) -> str:
        """`brand/family`."""
        return f"{self.spec.brand}/{self.spec.family}"
