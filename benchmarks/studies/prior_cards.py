"""The cards of priors and neural operators, as Markdown."""

from __future__ import annotations

from pdeinv.benchmarks.studies.prior_ablation import ablation_section

__all__ = ["cards"]


def cards(records: list[dict], ablation: list[dict] = ()) -> str:
    """Markdown: a section for each prior or operator, with its data, training, errors, samples and
    limits; and the ablation."""
    kinds = {"relative_l2": _operator_card, "sensor_errors": _regressor_card, "levels": _card}
    parts = [
        next(card for key, card in kinds.items() if key in r)(r)
        for r in sorted(records, key=lambda r: r["prior"])
    ]
    return "\n".join([_HEAD, *parts, *([ablation_section(ablation)] if ablation else [])])


_HEAD = """# The shipped priors

Written by `python -m pdeinv.benchmarks.studies.prior_reports --cards docs/priors.md` from `benchmarks/results/priors.jsonl`; do not edit.

Load one with `pdeinv.priors.load(name)`. Errors are root mean squares of x0 - D(x0 + σ noise, σ) over 256 fresh fields;
*ratio* is that to the Gaussian part's own error, *excess* that over the exact Wiener denoiser's, which no denoiser of a
Gaussian field can beat. Power is compared by integer wavenumber among those that hold 99 % of the variance. *Residual* is
the relative L2 distance between a sampled solution and the solve of its sampled coefficient. *Consistency* is the relative
L2 distance between one function under one noise draw at σ = 0.25 denoised on the grid of the training and on twice as many
nodes; where each grid samples the state for itself, it is in brackets, beside how far these states are apart.
"""


def _card(r: dict) -> str:
    names = r["fields"]
    grid, loss = r["training"]["grid"], "1 is the Gaussian part's"
    if r["preconditioning"] == "edm":
        loss = "without a Gaussian part, in EDM's own preconditioning"
    lines = [
        f"## {r['prior']}",
        "",
        f"![samples beside data](figures/prior-{r['prior']}.png)",
        "",
        f"- **Fields**: {', '.join(n.replace('_', ' ') for n in names)} ({r['pde']}), trained on "
        f"{grid} x {grid} nodes.",
        _data(r),
        f"- **Loss** ({loss}) by minute: "
        + ", ".join(f"{s / 60:.0f}: {loss:.3f}" for s, loss in r["curve"])
        + ".",
        f"- **Cost**: {r['milliseconds_per_field']:.1f} ms a field in a batch of 16.",
    ]
    for n in (grid, 2 * grid):
        spectrum = "; ".join(
            f"{name.replace('_', ' ')} {100 * s['within_15_percent']:.0f} % of wavenumbers up to "
            f"{s['last_wavenumber']} "
            f"within 15 %, the worst at {s['at']} with a ratio of {s['worst_ratio']:.2f}"
            for name, s in r[f"spectrum_{n}"].items()
        )
        lines.append(f"- **Power of samples on {n} x {n} nodes**: {spectrum}.")
    if f"residual_{grid}" in r:
        coarse, fine = (100 * r[f"residual_{n}"] for n in (grid, 2 * grid))
        lines.append(f"- **Residual**: {coarse:.1f} % on {grid}, {fine:.1f} % on {2 * grid} nodes.")
    lines += [
        "- **Consistency** "
        + "; ".join(
            f"{n.replace('_', ' ')} {100 * one:.2f} % ({100 * own:.2f} % sampled anew, "
            f"{100 * before:.2f} % before noising)"
            for n, one, own, before in zip(names, *r["consistency"].values(), strict=True)
        )
        + ".",
        "",
    ]
    head, align = ["σ"], ["---:"]
    columns = []
    for name in names:
        columns.append(
            (f"{name.replace('_', ' ')}: error / std", [f"{e:.4f}" for e in r["errors"][name]])
        )
        for key, word, offset in (
            ("gaussian_errors", "ratio", 0),
            ("exact_errors", "excess, %", 1),
        ):
            if key in r:
                ratios = [a / b for a, b in zip(r["errors"][name], r[key][name], strict=True)]
                columns.append(
                    (word, [f"{100 * (x - 1):.2f}" if offset else f"{x:.3f}" for x in ratios])
                )
    head += [c[0] for c in columns]
    align += ["---:"] * len(columns)
    lines += ["| " + " | ".join(head) + " |", "| " + " | ".join(align) + " |"]
    lines += [
        "| " + " | ".join([f"{sigma:g}", *(c[1][i] for c in columns)]) + " |"
        for i, sigma in enumerate(r["levels"])
    ]
    return "\n".join([*lines, ""])


def _operator_card(r: dict) -> str:
    errors = ", ".join(f"{100 * e:.2f} % on {n} nodes" for n, e in r["relative_l2"].items())
    lines = [
        f"- **Maps** {' to '.join(n.replace('_', ' ') for n in r['fields'])} ({r['pde']}): a "
        f"Fourier neural operator.",
        _data(r),
        "- **Error on held-out samples** by minute, %: "
        + ", ".join(f"{s / 60:.0f}: {100 * error:.2f}" for s, error in r["curve"])
        + ".",
        f"- **Relative L2 error** on 256 fresh coefficients: {errors}.",
    ]
    return _framed(r, lines)


def _regressor_card(r: dict) -> str:
    errors = "; ".join(
        f"{100 * e['forward']:.1f} % forward, {100 * e['inverse']:.1f} % inverse on {n} nodes "
        f"with {e['sensors']} sensors"
        for n, e in r["sensor_errors"].items()
    )
    lines = [
        f"- **Maps** readings of {' and '.join(n.replace('_', ' ') for n in r['fields'])} "
        f"({r['pde']}) to both fields: a "
        "Fourier neural operator, for the solver `fno`.",
        _data(r),
        "- **Error on held-out samples**, forward and inverse, by minute, %: "
        + ", ".join(f"{s / 60:.0f}: {100 * a:.1f} and {100 * b:.1f}" for s, a, b in r["curve"])
        + ".",
        f"- **Relative L2 error** on 256 fresh states, of the field without sensors: {errors}.",
    ]
    return _framed(r, lines)


def _data(r: dict) -> str:
    t = r["training"]
    return (
        f"- **Data**: {t['samples']:,} samples of `{t['data']}`, {t['fields_seen']:,} fields seen "
        f"in batches of {t['batch']} "
        f"{'under random symmetries ' if t['symmetry'] else ''}in {t['seconds'] / 60:.0f} "
        f"minutes; {r['machine']}."
    )


def _framed(r: dict, lines: list[str]) -> str:
    cost = f"- **Cost**: {r['milliseconds_per_field']:.1f} ms a field in a batch of 16."
    return "\n".join([f"## {r['prior']}", "", *lines, cost, ""])
