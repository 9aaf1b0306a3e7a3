"""The package from outside: what `import pdeinv` gives, in a process that has imported nothing
else."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "expression",
    [
        "pdeinv.datasets.Helmholtz(k=2.0).k == 2.0",
        "pdeinv.layouts.regular(3).shape == (9, 2)",
        "callable(pdeinv.reconstruct) and pdeinv.datasets.open is pdeinv.datasets.open_dataset",
        "pdeinv.__version__.count('.') == 2",
        "all(hasattr(pdeinv, name) for name in dir(pdeinv))",
    ],
)
def test_a_fresh_import_reaches_everything(expression):
    subprocess.run([sys.executable, "-c", f"import pdeinv; assert {expression}"], check=True)


def test_the_command_line_starts_without_torch():
    code = "import sys, pdeinv.cli; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error():
    import pdeinv

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pdeinv.nothing  # noqa: B018
