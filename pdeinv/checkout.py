"""Find the subpackages of a checkout, whose folders are siblings of this package's own.

Python finds the folder `pdeinv` first when it starts in a checkout, also where the package is
installed. A wheel has the subpackages inside. An editable install maps them itself, but perhaps
those of another checkout.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

__all__ = ["SUBPACKAGES", "SiblingFinder"]

SUBPACKAGES = ("benchmarks", "datasets", "solvers")


class SiblingFinder:
    """A finder of the three subpackages alone; the usual finder imports the modules inside them.

    Arguments:
        package: name of the package.
        root: folder that holds the subpackages.
    """

    def __init__(self, package: str, root: Path) -> None:
        self.folders = {f"{package}.{name}": root / name for name in SUBPACKAGES}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the spec of one of the subpackages, or None."""
        folder = self.folders.get(fullname)
        if folder is None:
            return None
        return spec_from_file_location(
            fullname, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
