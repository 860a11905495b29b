"""Where templates are looked for: the operator's folders, then the one that came with this program.

Each can hold a whole brand or family, or single files that stand before the same ones of a later folder. A template
reaches the one it stands before as ``shipped/<brand>/…``.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

_PACKAGE = Path(__file__).resolve().parents[1]
BUNDLED = next(
    (p for p in (_PACKAGE / "vendor_templates", _PACKAGE.parent / "vendor_templates") if p.is_dir()), _PACKAGE
)
"""The templates that came with this program: inside the installed package, beside it in a checkout."""

SHIPPED = "shipped"
"""What a template writes before the name of one that came with this program."""


class Folder(Struct, frozen=True):
    """A folder of templates. What is not `trusted` is rendered in Jinja's sandbox."""

    path: Path
    trusted: bool = True


class Folders:
    """A search path, the strongest folder first."""

    def __init__(self, folders: Sequence[Folder]) -> None:
        self.all = tuple(folders)

    @property
    def shipped(self) -> Path | None:
        """The folder that came with this program, where it is searched."""
        return next((folder.path for folder in self.all if folder.path == BUNDLED), None)

    def find(self, name: str) -> list[Path]:
        """Return the files of a name (``brand/family/family.yaml``), the one that counts first."""
        return [path for folder in self.all if (path := folder.path / name).is_file() and self.holds(path)]

    def holds(self, path: Path) -> bool:
        """Whether a file is one of these folders': its digest sees no linked folders, and no link leads out of the sandbox."""
        folder = self.of(path)
        if folder is None or any(
            one.is_symlink() for one in path.parents if one != folder.path and one.is_relative_to(folder.path)
        ):
            return False
        return folder.trusted or path.resolve().is_relative_to(folder.path.resolve())

    def families(self) -> list[str]:
        """Return every ``brand/family`` that has a family.yaml in some folder."""
        found = {
            path.parent.relative_to(folder.path).as_posix()
            for folder in self.all
            for path in folder.path.glob("*/*/family.yaml")
        }
        return sorted(found)

    def of(self, path: Path) -> Folder | None:
        """Return the folder that a file lies in."""
        return next((folder for folder in self.all if path.is_relative_to(folder.path)), None)

    def name(self, path: Path) -> str:
        """Return what a file is called below its folder."""
        folder = self.of(path)
        return path.relative_to(folder.path).as_posix() if folder else path.name

    def digest(self, patterns: Iterable[str]) -> str:
        """Digest of the files that match, of all folders, as any of them can be included."""
        digest = hashlib.sha256()
        patterns = list(patterns)
        for number, folder in enumerate(self.all):
            found = {path for pattern in patterns for path in folder.path.glob(pattern) if path.is_file()}
            for path in sorted(found):
                data = path.read_bytes()
                name = path.relative_to(folder.path).as_posix()
                head = f"{number}\0{int(folder.trusted)}\0{name}\0{len(data)}\0"
                digest.update(head.encode() + data)
        return digest.hexdigest()[:16]
