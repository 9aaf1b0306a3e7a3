"""The code blocks of README and of the overview, for the tests and for `.ci/front_door`.

`python tests/readme_blocks.py FOLDER` writes the files that the Python blocks read, `program.py`,
which runs the blocks, and the folder `mine`: a user's own table and problem as docs/start.md has
them, and its commands, `commands.sh`.
"""

import re
import sys
import types
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import scipy.io

ROOT = Path(__file__).parent.parent
OVERVIEW = "docs/overview.md"
START = "docs/start.md"

# The import comes before the change of folder: it is that of the folder where Python started.
_HEADER = '''\
"""Import the package where Python started and, given a folder, run the Python blocks there:
python -c PROGRAM (checkout | installed) [FOLDER]."""
import os, sys
import pdeinv
from pathlib import Path

expected, *folder = sys.argv[1:]
found = "checkout" if Path(pdeinv.__file__).is_relative_to({root!r}) else "installed"
assert found == expected, pdeinv.__file__
assert all(hasattr(pdeinv, name) for name in dir(pdeinv))
assert all(len(pdeinv.datasets.example(name).sample) for name in pdeinv.datasets.examples())
for place in folder:
    os.chdir(place)
    for i, block in enumerate({blocks!r}, 1):
        exec(compile(block, f"Python block {{i}}", "exec"), {{}})
'''


def blocks(language, page="README.md"):
    """Return the code blocks of a page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def python_blocks():
    """Return the Python blocks of README and of the overview."""
    return [*blocks("python"), *blocks("python", OVERVIEW)]


def import_block(monkeypatch, name, code):
    """Import a block as the module of a name, for one test alone."""
    module = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(code, vars(module))


@cache
def _first_example():
    from pdeinv.problems import example_by_name

    example = example_by_name("aquifer")
    table = example.truth().sensors.table
    csv = table.to_csv(index=False, float_format="%.12g", lineterminator="\n")
    return {"aquifer.toml": example.text.encode(), "aquifer.csv": csv.encode()}


def write_files(folder):
    """Write the files that these blocks read: the first example, a sensor table and four
    datasets."""
    folder.mkdir(exist_ok=True)
    for name, content in _first_example().items():
        (folder / name).write_bytes(content)
    (table,) = blocks("csv", OVERVIEW)
    (folder / "sensors.csv").write_text(table)
    shipped = ROOT / "pdeinv" / "data" / "darcy.h5"
    (folder / "darcy.h5").write_bytes(shipped.read_bytes())
    with h5py.File(shipped) as file:  # MATLAB's order is samples x X x Y
        fields = {
            name: file[variable][()].transpose(0, 2, 1)
            for name, variable in {
                "thresh_a_data": "permeability",
                "thresh_p_data": "pressure",
            }.items()
        }
    scipy.io.savemat(folder / "Darcy_train.mat", fields)
    mine = {
        name: field.transpose(2, 1, 0)
        for name, field in zip(("a", "u"), fields.values(), strict=True)
    }
    np.savez(folder / "mine.npz", **mine)
    with h5py.File(folder / "mine.h5", "w") as file:
        for name, field in mine.items():
            file[name] = field


def write_own_files(folder):
    """Write the table, the problem and the commands of docs/start.md for a user's own readings."""
    folder.mkdir(exist_ok=True)
    for ending in ("csv", "toml"):
        (content,) = blocks(ending, START)
        (folder / f"mine.{ending}").write_text(content)
    (folder / "commands.sh").write_text(blocks("sh", START)[-1])


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    out = Path(sys.argv[1])
    write_files(out)
    (out / "program.py").write_text(_HEADER.format(root=str(ROOT), blocks=python_blocks()))
    write_own_files(out / "mine")
