"""Random numbers come from the range of their purpose, and nothing else from that of the tests."""

import gc
import itertools
import json
import shutil
from functools import _lru_cache_wrapper as lru_cache

import h5py
import pytest
import torch
from helpers import PAIRS, brief_solver, quick_prior, run_command, seeded
from safetensors import safe_open

from pdeinv import InputError, layouts, reconstruct, seeds
from pdeinv.benchmarks.scoring import score
from pdeinv.benchmarks.tasks import TEST_SEEDS, TUNING_SEEDS, Task
from pdeinv.datasets import Poisson, example, generate
from pdeinv.priors import GaussianPrior, TrainingData, load, save
from pdeinv.sensors import Sensors
from pdeinv.solvers import SOLVERS

N = 16
RANGES = (seeds.TEST, seeds.TRAINING, seeds.TUNING, seeds.SOLVER, seeds.STATISTICS)


@pytest.fixture
def drawn(monkeypatch):
    """Return the set of all seeds that are given to torch; nothing is cached before."""
    given = set()

    class Recording(torch.Generator):
        def manual_seed(self, seed):
            given.add(seed)
            return super().manual_seed(seed)

    global_seed = torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda s: (given.add(s), global_seed(s))[1])
    monkeypatch.setattr(torch, "Generator", Recording)
    for cached in gc.get_objects():
        if type(cached) is lru_cache and cached.__module__.startswith("pdeinv."):
            cached.cache_clear()
    return given


def test_no_two_ranges_overlap_on_32_bits():
    assert all(0 <= r.start < r.stop <= 2**32 and r.step == 1 for r in RANGES)
    for one, other in itertools.combinations(RANGES, 2):
        assert one.stop <= other.start or other.stop <= one.start


@pytest.mark.parametrize("purpose", RANGES)
def test_a_generator_has_a_seed_of_its_range(purpose):
    for number in (0, 7, len(purpose) - 1, len(purpose), 2**40):
        assert seeds.generator(purpose, number).initial_seed() in purpose
    assert seeds.generator(purpose, 7).initial_seed() == purpose.start + 7


def test_the_global_state_is_that_of_the_range_and_then_as_before():
    def within():
        with seeds.global_state(seeds.TUNING, 3):
            return torch.rand(4)

    before = torch.random.get_rng_state()
    first = within()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first, torch.rand(4, generator=seeded(3)))
    assert torch.equal(first, within())


@pytest.mark.parametrize(
    ("allowed", "purpose"), [(TEST_SEEDS, seeds.TEST), (TUNING_SEEDS, seeds.TUNING)]
)
def test_the_instances_of_a_task_are_in_the_range_of_its_seed(drawn, allowed, purpose):
    for seed in (allowed[0], allowed[-1]):
        task = Task("poisson", "inverse", N, 20, seed=seed)
        for i in (0, 1_000_002):
            task.instance(i)
            assert drawn == {1_000_003 * seed + i}
            assert drawn.pop() in purpose
        for i in (-1, 1_000_003):
            with pytest.raises(InputError, match=r"an instance must be from 0 to 1000002"):
                task.instance(i)


@pytest.mark.parametrize("seed", [-1, 2147, 2699, 2999, 2**32])
def test_a_task_of_another_range_is_refused_with_the_seeds_that_are_allowed(seed):
    message = rf"seed of a task must be from 0 to 2146 .* 2700 to 2998 .* got {seed}"
    with pytest.raises(InputError, match=message):
        Task("poisson", "inverse", N, 20, seed=seed)


def test_the_help_of_a_benchmark_states_the_seeds_of_tasks():
    text = " ".join(run_command("benchmark", "--help").output.replace("│", " ").split())
    for allowed in (TEST_SEEDS, TUNING_SEEDS):
        assert f"{allowed[0]} to {allowed[-1]}" in text


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_draws_nothing_from_the_range_of_tests(name, drawn):
    pde = next(pde for solver, pde in reversed(PAIRS) if solver == name)
    task, i = Task(pde, "both", N, 20, noise=0.1), 3
    score(task, brief_solver(name), quick_prior(name, pde), i, 3)
    assert {seed for seed in drawn if seed in seeds.TEST} == {i}
    assert seeds.SOLVER[i] in drawn
    assert all(any(seed in r for r in RANGES) for seed in drawn)


def test_a_reconstruction_draws_from_the_range_of_solvers(drawn):
    truth = example("poisson")["potential"][0]
    reconstruct(Sensors.observe(truth, layouts.random(6, 1)), "poisson", grid=N, seed=5)
    assert drawn == {seeds.SOLVER[5]}


def header_of(path):
    """Return what a model's file states."""
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["prior"])


@pytest.mark.parametrize("model", ["gaussian", "diffusion", "operator", "inverse-operator"])
def test_the_file_of_a_model_states_the_seeds_and_the_digest_of_its_data(
    model, poisson_file, tmp_path
):
    options = ["--model", model, "--out", tmp_path / "m.safetensors", "--widths", "16"]
    done = run_command("train", poisson_file, *options, "--steps", 1, "--batch", 8)
    assert done.exit_code == 0, done.output
    data = TrainingData.read(poisson_file)
    data = data.swapped() if model == "inverse-operator" else data
    record = header_of(tmp_path / "m.safetensors")["record"]
    assert record["data"] == "poisson.h5" and record["digest"] == data.digest()
    assert record["data_seed"] == 3
    assert record["data_seed_range"] == [seeds.TRAINING.start, seeds.TRAINING.stop]
    assert load(tmp_path / "m.safetensors").record == record


def test_data_of_ones_own_has_a_digest_and_no_seed(poisson_file, tmp_path):
    own = shutil.copy(poisson_file, tmp_path / "own.h5")
    with h5py.File(own, "r+") as file:
        for name in ("seed", "seed_range"):
            del file.attrs[name]
    fitted = GaussianPrior.fit(own)
    record = header_of(save(fitted, tmp_path / "own.safetensors"))["record"]
    assert record["digest"] == TrainingData.read(own).digest()
    assert not {"data_seed", "data_seed_range"} & record.keys()


def test_the_samples_of_a_dataset_have_seeds_of_the_range_that_it_states(drawn, tmp_path):
    path = generate(Poisson(), 4, N, 12, tmp_path / "p.h5", workers=1)
    with h5py.File(path) as file:
        stated = range(*file.attrs["seed_range"].tolist())
    assert stated == seeds.TRAINING
    assert len(drawn) == 4 and all(seed in stated for seed in drawn)
