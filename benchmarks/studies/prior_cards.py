"""The cards of priors, neural operators and regressors, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.studies.nearest_training import memorised
from pdeinv.benchmarks.studies.prior_ablation import ablation_section
from pdeinv.benchmarks.studies.sample_statistics import DISTINCT, flagged
from pdeinv.priors import load, shipped

__all__ = ["cards"]

_HEAD = """# The shipped priors

Written by `pdeinv study priors --cards docs/priors.md` from `benchmarks/results/priors.jsonl`; do
not edit.

Load one with `pdeinv.priors.load(name)`. Errors are root mean squares of x0 - D(x0 + σ noise, σ)
over 256 fresh fields; *ratio* is that to the Gaussian part's own error, *excess* that over the
exact Wiener denoiser's, which no denoiser of a Gaussian field can beat. Power is compared by
integer wavenumber among those that hold 99 % of the variance. *Residual* is the relative L2
distance between a sampled solution and the solve of its sampled coefficient. *Consistency* is the
relative L2 distance between one function under one noise draw at σ = 0.25 denoised on the grid of
the training and on twice as many nodes. In brackets is the same where each grid samples the state
for itself, and how far these states are apart before noising.

Some cards compare samples with as many fresh fields by *statistics*, each a mean over the nodes of
one field. *Standard errors* are those of the difference of the means, by the spread over fields.
Statistics of one card depend on each other, and by chance one in twenty differs by more than two.
The *nearest training field* is found under the symmetries of the data, after samples of two values
are rounded; distances are relative L2. A sample counts as *memorised* at less than half of the
smallest distance of a fresh field.
"""

_WITHOUT_CARD = """## Priors of the published presets

They have white noise and EDM's preconditioning, without a Gaussian part: see
[published.md](published.md). They have no card; their files state the following. Errors are
relative to the field's standard deviation, on the last samples of the data, which were held out.
"""
_LEVELS = (0.02, 0.1, 0.5, 2.0, 20.0)


def cards(records: Sequence[Record], ablation: Sequence[Record] = ()) -> str:
    """Return a page with a section for each model: its data, training, errors, samples and cost.

    Shipped priors that the records lack share a section, made of what their files state.

    Arguments:
        records: of the models, as `pdeinv study priors` writes them.
        ablation: records of `pdeinv study prior-ablation`, the last section if there are any.
    """
    kinds = {
        "relative_l2": _operator_card,
        "sensor_errors": _regressor_card,
        "levels": _prior_card,
    }
    parts = [
        next(card for key, card in kinds.items() if key in r)(r)
        for r in sorted(records, key=lambda r: r["prior"])
    ]
    last = [ablation_section(list(ablation))] if ablation else []
    return "\n".join([_HEAD, *parts, *_without_card({r["prior"] for r in records}), *last])


def _without_card(known: set[str]) -> list[str]:
    """Return the section of the shipped priors that have no record."""
    rows = []
    for name in (name for name in shipped() if name not in known):
        record = load(name).record
        if "data_seed" not in record:  # of an older file, which does not state it
            continue
        data = f"{record['samples']:,} of `{record['data']}`, seed {record['data_seed']}"
        spent = f"{record['fields_seen']:,}"
        validated = record["history"][-1]
        for field, errors in validated["errors"].items():
            at = dict(zip(validated["levels"], errors, strict=True))
            rows.append([name, data, spent, _words(field), *(f"{at[s]:.4f}" for s in _LEVELS)])
    if not rows:
        return []
    numbers = ["fields seen", "field", *(f"σ = {sigma:g}" for sigma in _LEVELS)]
    return [_WITHOUT_CARD, render_table(["prior", "data"], numbers, rows), ""]


def _prior_card(r: Record) -> str:
    grid, names = r["training"]["grid"], [_words(n) for n in r["fields"]]
    loss = "1 is the Gaussian part's"
    if r["preconditioning"] == "edm":
        loss = "without a Gaussian part, in EDM's own preconditioning"
    curve = ", ".join(f"{s / 60:.0f}: {value:.3f}" for s, value in r["curve"])
    lines = [
        f"![data and samples](figures/prior-{r['prior']}.png)",
        "",
        f"- **Fields**: {', '.join(names)} ({r['pde']}), trained on {grid} x {grid} nodes.",
        _data(r),
        f"- **Loss** ({loss}) by minute: {curve}.",
        _cost(r),
        *(f"- **Power of samples on {n} x {n} nodes**: {_spectrum(r, n)}." for n in _grids(r)),
    ]
    if f"residual_{grid}" in r:
        coarse, fine = (100 * r[f"residual_{n}"] for n in _grids(r))
        lines.append(f"- **Residual**: {coarse:.1f} % on {grid}, {fine:.1f} % on {2 * grid} nodes.")
    consistency = "; ".join(
        f"{name} {100 * one:.2f} % ({100 * own:.2f} % sampled by each grid, {100 * before:.2f} % "
        f"before noising)"
        for name, one, own, before in zip(names, *r["consistency"].values(), strict=True)
    )
    lines = [*lines, f"- **Consistency** {consistency}.", *_against_data(r), "", _errors(r)]
    return _section(r, lines + (["", _statistics(r)] if "statistics" in r else []))


def _against_data(r: Record) -> list[str]:
    """Return what distinguishes samples from data, and whether they repeat the training."""
    lines = []
    if "statistics" in r:
        s = r["statistics"]
        compared = s["fields"]
        names = [
            f"{_of_field(r, field)}{name} ({rows[name]['standard_errors']:+.1f})"
            for field, rows in compared.items()
            for name in flagged(rows)
        ]
        number, count = len(names) or "none", sum(len(rows) for rows in compared.values())
        lines.append(
            f"- **Samples against data**: {s['samples']:,} samples of {s['steps']} steps differ "
            f"from as many fresh fields by more than {DISTINCT:g} standard errors in {number} of "
            f"{count} statistics{': ' if names else ''}{'; '.join(names)}."
        )
    if "nearest" in r:
        n = r["nearest"]
        shown = (
            f"{sum(found) / len(found):.2f} on average and at least {min(found):.2f} for "
            f"{len(found)} {what}"
            for what, found in (("samples", n["to_samples"]), ("fresh fields", n["to_fresh"]))
        )
        moved = " and all translations by whole cells" if n["translations"] else ""
        lines.append(
            f"- **Nearest training field** of {n['training_fields']:,}, under {n['symmetries']} "
            f"symmetries{moved}: at {', '.join(shown)}; {memorised(n) or 'none'} of the "
            f"samples memorised."
        )
    return lines


def _statistics(r: Record) -> str:
    """Return the table of statistics, with those in bold that distinguish samples from data."""
    rows = []
    for field, compared in r["statistics"]["fields"].items():
        distinct = flagged(compared)
        for name, row in compared.items():
            bold = "**" if name in distinct else ""
            means = (f"{row[what]:.4g}" for what in ("data", "samples"))
            difference = f"{bold}{row['standard_errors']:+.1f}{bold}"
            rows.append([f"{_of_field(r, field)}{name}", *means, difference])
    return render_table(["statistic"], ["data", "samples", "standard errors"], rows)


def _of_field(r: Record, field: str) -> str:
    """Return the beginning of a statistic's name, empty where there is one field."""
    return f"{_words(field)}: " if len(r["fields"]) > 1 else ""


def _grids(r: Record) -> tuple[int, int]:
    """Return the nodes per side of the training and of the finer grid."""
    return r["training"]["grid"], 2 * r["training"]["grid"]


def _spectrum(r: Record, n: int) -> str:
    return "; ".join(
        f"{_words(name)} {100 * s['within_15_percent']:.0f} % of wavenumbers up to "
        f"{s['last_wavenumber']} within 15 %, the worst at {s['at']} with a ratio of "
        f"{s['worst_ratio']:.2f}"
        for name, s in r[f"spectrum_{n}"].items()
    )


def _errors(r: Record) -> str:
    """Return the table of errors by noise level, and their ratios to other denoisers'."""
    others = (
        ("gaussian_errors", "ratio", lambda ratio: f"{ratio:.3f}"),
        ("exact_errors", "excess, %", lambda ratio: f"{100 * (ratio - 1):.2f}"),
    )
    heads, columns = ["σ"], [[f"{sigma:g}" for sigma in r["levels"]]]
    for name in r["fields"]:
        heads.append(f"{_words(name)}: error / std")
        columns.append([f"{e:.4f}" for e in r["errors"][name]])
        for key, word, shown in others:
            if key in r:
                pairs = zip(r["errors"][name], r[key][name], strict=True)
                heads.append(word)
                columns.append([shown(ours / other) for ours, other in pairs])
    return render_table([], heads, zip(*columns, strict=True))


def _operator_card(r: Record) -> str:
    errors = ", ".join(f"{100 * e:.2f} % on {n} nodes" for n, e in r["relative_l2"].items())
    curve = ", ".join(f"{s / 60:.0f}: {100 * error:.2f}" for s, error in r["curve"])
    lines = [
        f"- **Maps** {' to '.join(_words(n) for n in r['fields'])} ({r['pde']}): a Fourier neural "
        f"operator.",
        _data(r),
        f"- **Error on held-out samples** by minute, %: {curve}.",
        f"- **Relative L2 error** on 256 fresh coefficients: {errors}.",
        _cost(r),
    ]
    return _section(r, lines)


def _regressor_card(r: Record) -> str:
    errors = "; ".join(
        f"{100 * e['forward']:.1f} % forward, {100 * e['inverse']:.1f} % inverse on {n} nodes "
        f"with {e['sensors']} sensors"
        for n, e in r["sensor_errors"].items()
    )
    curve = ", ".join(f"{s / 60:.0f}: {100 * a:.1f} and {100 * b:.1f}" for s, a, b in r["curve"])
    lines = [
        f"- **Maps** readings of {' and '.join(_words(n) for n in r['fields'])} ({r['pde']}) to "
        f"both fields: a Fourier neural operator, for the solver `fno`.",
        _data(r),
        f"- **Error on held-out samples**, forward and inverse, by minute, %: {curve}.",
        f"- **Relative L2 error** on 256 fresh states, of the field without sensors: {errors}.",
        _cost(r),
    ]
    return _section(r, lines)


def _data(r: Record) -> str:
    t = r["training"]
    symmetries = "under random symmetries " if t["symmetry"] else ""
    device = t.get("device", "cpu")
    place = f"; {r['machine']}" if device == "cpu" else f" on `{device}`"
    return (
        f"- **Data**: {t['samples']:,} samples of `{t['data']}`, {t['fields_seen']:,} fields seen "
        f"in batches of {t['batch']} {symmetries}in {t['seconds'] / 60:.0f} minutes"
        f"{place}."
    )


def _cost(r: Record) -> str:
    machine = f", {r['machine']}" if r["training"].get("device", "cpu") != "cpu" else ""
    return f"- **Cost**: {r['milliseconds_per_field']:.1f} ms a field in a batch of 16{machine}."


def _section(r: Record, lines: list[str]) -> str:
    return "\n".join([f"## {r['prior']}", "", *lines, ""])


def _words(name: str) -> str:
    return name.replace("_", " ")
