"""A slow function: worker processes, and results that are kept, so that a run continues."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import seeded

import pdeinv
from pdeinv import GaussianField, InputError, NumericalError, pde_from_function, reconstruct
from pdeinv.datasets.code_digest import code_digest
from pdeinv.datasets.function_results import Memory, Results
from pdeinv.solvers import EnsembleSmoother, OptimalInterpolation

FIELDS = ["rate", "level"]


def draw(n=4, shape=(8, 8)):
    return torch.randn(n, 1, *shape, dtype=torch.float64, generator=seeded())


def counted(folder, scale=2.0):
    """Return a function that leaves a file for each call, and fails as long as there is `stop`."""
    folder.mkdir(exist_ok=True)

    def solve(a):
        stop = folder / "stop"
        if stop.exists() and len(list(folder.glob("call-*"))) >= int(stop.read_text()):
            raise (KeyboardInterrupt if stop.read_text().startswith("0") else OSError)("stopped")
        (folder / f"call-{a[0, 0]:.17g}").touch(exist_ok=False)
        return scale * a

    return solve


def calls(folder):
    return len(list(folder.glob("call-*")))


def test_equal_coefficients_are_one_call(tmp_path):
    pde, a = pde_from_function(counted(tmp_path / "c"), FIELDS), draw(3)
    twice = torch.cat([a, a])
    torch.testing.assert_close(pde.respond(twice), 2 * twice, rtol=0, atol=0)
    torch.testing.assert_close(pde.respond(a[1:]), 2 * a[1:], rtol=0, atol=0)
    assert calls(tmp_path / "c") == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_are_given_all_members_of_a_round(workers, monkeypatch):
    sizes = []

    def of(self, inputs, compute, chosen, *, batched):
        sizes.append(len(inputs))
        return 2 * inputs

    monkeypatch.setattr(Results, "of", of)
    pde = pde_from_function(lambda a: 2 * a, FIELDS, workers=workers)
    table = {"field": ["level"], "x": [0.3], "y": [0.4], "value": [1.0], "noise_std": [0.1]}
    for solver in (EnsembleSmoother(members=120, rounds=1), OptimalInterpolation(members=120)):
        sizes.clear()
        reconstruct(table, pde, prior=GaussianField(0.0, 1.0, 0.3), solver=solver, grid=16)
        assert max(sizes) == (120 if workers > 1 else 50)


@pytest.mark.parametrize("stop", ["2", "02"], ids=["error", "ctrl-c"])
def test_a_stopped_run_continues(tmp_path, stop):
    function, a = counted(tmp_path / "c"), draw(5)
    (tmp_path / "c" / "stop").write_text(stop)
    with pytest.raises((InputError, KeyboardInterrupt)):
        pde_from_function(function, FIELDS, store=tmp_path / "s").respond(a)
    assert calls(tmp_path / "c") == len(list((tmp_path / "s").glob("*.npz"))) == 2
    (tmp_path / "c" / "stop").unlink()
    # A function that is made again is the same one; each call's file may be made once
    again = pde_from_function(counted(tmp_path / "c"), FIELDS, store=tmp_path / "s")
    torch.testing.assert_close(again.respond(a), 2 * a, rtol=0, atol=0)
    assert calls(tmp_path / "c") == 5


def test_other_code_or_data_has_other_results(tmp_path):
    a, store = draw(2), tmp_path / "s"
    for i, scale in enumerate((2.0, 3.0)):
        pde = pde_from_function(counted(tmp_path / f"{i}", scale), FIELDS, store=store)
        torch.testing.assert_close(pde.respond(a), scale * a)
    for function in (lambda a: a + 1, lambda a: a + 2):
        pde = pde_from_function(function, FIELDS, store=store)
        torch.testing.assert_close(pde.respond(a), torch.from_numpy(function(a.numpy())))
    other = pde_from_function(function, FIELDS, domain=(0.0, 2.0, 0.0, 2.0), store=store)
    before = len(list(store.iterdir()))
    other.respond(a)
    assert len(list(store.iterdir())) == before + 2


def test_a_damaged_file_is_computed_again(tmp_path):
    a, store = draw(3), tmp_path / "s"

    def solve(a):
        return 2 * a

    expected = pde_from_function(solve, FIELDS, store=store).respond(a)
    empty, cut, other = sorted(store.glob("*.npz"))
    empty.write_bytes(b"")
    content = bytearray(cut.read_bytes())
    content[len(content) // 2] ^= 255
    cut.write_bytes(bytes(content))
    with other.open("wb") as stream:
        np.savez(stream, outputs=np.zeros((1, 3, 3)))
    found = pde_from_function(solve, FIELDS, store=store).respond(a)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    for path in store.glob("*.npz"):
        with np.load(path) as archive:
            np.testing.assert_array_equal(archive["outputs"], 2 * archive["inputs"])


def test_instability_is_kept_too(tmp_path):
    def solve(a):
        (tmp_path / f"call-{a[0, 0]:.17g}").touch(exist_ok=False)
        raise NumericalError("blow-up")

    for _ in range(2):
        with pytest.raises(NumericalError, match="no solution for 2 of 2"):
            pde_from_function(solve, FIELDS, store=tmp_path / "s").respond(draw(2))


class Simulator:
    """Its class and state travel to the workers."""

    def __init__(self, k):
        self.k = k

    def __call__(self, a):
        return self.k * a

    def run(self, a):
        return self.k * a


OFFSET = 3.0


def shifted(a):
    return a + OFFSET


def test_two_workers_equal_one(tmp_path):
    """A function by value brings closures, lambdas, objects, methods, globals of its module."""
    parts = [lambda a: a + OFFSET, shifted, Simulator(2.0), Simulator(3.0).run]
    left = counted(tmp_path / "c")

    def function(a):
        return [left(a), *(part(a) for part in parts)]

    fields = ["rate", *(f"level_{i}" for i in range(5))]
    a, results = draw(4), []
    for workers in (1, 2):
        pde = pde_from_function(function, fields, workers=workers).reading(fields)
        results.append(pde.respond(torch.cat([a, a])))
        assert calls(tmp_path / "c") == 4
        for path in (tmp_path / "c").iterdir():
            path.unlink()
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_an_error_of_a_worker_is_one_sentence():
    def failing(a):
        return a / np.linalg.norm(unknown)  # noqa: F821

    with pytest.raises(InputError, match=r"failing must run .* NameError in line \d+ of test_slow"):
        pde_from_function(failing, FIELDS, workers=2).respond(draw(3))
    with pytest.raises(
        InputError, match=r"worker processes can be sent, got TypeError: .*workers=1"
    ):
        import threading

        lock = threading.Lock()
        pde_from_function(lambda a: (lock, a)[1], FIELDS, workers=2).respond(draw(3))


SCRIPT = """
    import pdeinv
    from pdeinv import seeds

    SCALE = 2.0

    def helper(a):
        return SCALE * a

    print("started", flush=True)
    pde = pdeinv.pde_from_function(lambda a: helper(a), ["rate", "level"], workers=2, store="store")
    state = pdeinv.Problem(pde).sample(3, pde.grid(8), seeds.generator(seeds.TUNING))
    print(float(state.sum()))
"""


def test_a_function_of_a_script_without_a_guard(tmp_path):
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    path = str(next(iter(pdeinv.__path__)) + "/..")
    outputs = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "script.py"],
            cwd=tmp_path,
            env={"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1] and outputs[0].count("started") == 1
    assert len(list((tmp_path / "store").glob("*.npz"))) == 3


def test_a_reconstruction_continues_from_its_store(tmp_path):
    table = {"field": "level", "x": [0.3, 0.6], "y": [0.4, 0.2], "value": [1.0, 0.5]}
    given = {"prior": GaussianField(0.0, 1.0, 0.3), "noise": 0.1, "grid": 16, "n_samples": 2}
    results = [
        reconstruct(
            table, pde_from_function(counted(tmp_path / "c"), FIELDS, store=tmp_path / "s"), **given
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*(r["rate_mean"].values for r in results))
    assert calls(tmp_path / "c") > 2


def test_memory_drops_what_was_used_least_recently():
    memory = Memory(most=3 * 8)
    for key in "abc":
        memory.keep(key, np.zeros(1))
    assert memory.get("a") is not None
    memory.keep("d", np.zeros(1))
    assert memory.get("b") is None and all(memory.get(key) is not None for key in "acd")
    assert memory.size == 24


def test_the_digest_is_that_of_code_and_data():
    def make(code, **names):
        space = {"np": np, "__name__": "own", **names}
        exec(code, space)
        return code_digest(space["f"])

    code = "def g(a):\n    return a * K\ndef f(a):\n    return g(a) + 1\n"
    base = make(code, K=2.0)
    assert make("\n# moved\n" + code, K=2.0) == base
    assert make(code, K=3.0) != base and make(code, K=np.ones(3)) != make(code, K=np.zeros(3))
    assert make(code.replace("* K", "- K"), K=2.0) != base
    assert make(code.replace("+ 1", "+ 2"), K=2.0) != base
    recursive = "def f(a):\n    return f(a - 1) if K else a\n"
    assert make(recursive, K=1) == make(recursive, K=1) != make(recursive, K=0)
    assert code_digest(Simulator(1.0)) == code_digest(Simulator(1.0)) != code_digest(Simulator(2.0))
    assert code_digest(Simulator(1.0).run) != code_digest(Simulator(1.0))
    assert code_digest(lambda a, k={1, 2}: a) != code_digest(lambda a, k={1, 3}: a)


def test_a_slow_adjoint_is_kept_too(tmp_path):
    def adjoint(a, v):
        (tmp_path / f"adjoint-{v.sum():.17g}").touch(exist_ok=False)
        return 2 * v

    for _ in range(2):
        pde = pde_from_function(
            lambda a: 2 * a, FIELDS, gradient=adjoint, store=tmp_path / "s", linear=True
        )
        a = draw(2).requires_grad_()
        v = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=seeded(1))
        torch.testing.assert_close(torch.autograd.grad(pde.respond(a), a, v)[0], 2 * v)
    assert len(list(tmp_path.glob("adjoint-*"))) == 2


def test_a_module_that_is_not_installed_counts_by_its_text(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    digests = []
    for factor in (2, 3, 3):
        (tmp_path / "deeper_module.py").write_text(f"def g(a):\n    return {factor} * a\n")
        (tmp_path / "own_module.py").write_text("from deeper_module import g\n")
        for name in ("own_module", "deeper_module"):
            sys.modules.pop(name, None)
        import own_module

        digests.append([code_digest(lambda a: own_module.g(a)), code_digest(own_module.g)])
    assert digests[0][0] != digests[1][0] and digests[0][1] != digests[1][1]
    assert digests[1] == digests[2]


def test_the_digest_of_an_object_has_its_bases_and_properties():
    def make(step, factor):
        class Base:
            @property
            def factor(self):
                return factor

            def run(self, a):
                return self.factor * a + step

        class Model(Base):
            pass

        return Model().run

    assert code_digest(make(1, 2)) == code_digest(make(1, 2))
    assert len({code_digest(make(*pair)) for pair in ((1, 2), (1, 3), (2, 2))}) == 3


def test_the_digest_has_which_objects_are_shared():
    def make(shared):
        first, second = [1.0], [1.0]
        third = first if shared else second

        def run(a):
            first[0] += 1
            return (first, second, third)[2][0] * a

        return run

    assert code_digest(make(True)) == code_digest(make(True)) != code_digest(make(False))


def test_data_that_is_nested_too_deeply_is_refused():
    nested = []
    for _ in range(20_000):
        nested = [nested]
    with pytest.raises(
        InputError, match=r"must not be nested deeply, got more levels .* flat list"
    ):
        pde_from_function(lambda a: a if nested else -a, FIELDS)


STAYING = """
    import os
    import pdeinv
    import torch

    def solve(a):
        return 0 * a + os.getpid()

    pde = pdeinv.pde_from_function(solve, ["rate", "level"], workers=2)
    found = [pde.respond(torch.randn(2, 1, 4, 4, dtype=torch.float64)) for _ in range(2)]
    print(*{int(v) for u in found for v in u.unique()})
"""


def test_workers_stay_for_the_next_call_and_end_with_the_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STAYING)],
        cwd=Path(pdeinv.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    processes = [int(number) for number in done.stdout.split()]
    assert len(processes) == 2 and "leaked" not in done.stderr
    for number in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)
