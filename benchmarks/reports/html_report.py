"""The page of a benchmark: tables and figures out of the records of a suite, as Markdown and as one
HTML file."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from tqdm import tqdm

from pdeinv.benchmarks.published import PUBLISHED
from pdeinv.benchmarks.reports.figures import (
    COSTS,
    plot_cost,
    plot_instances,
    plot_over_limit,
    plot_ranks,
    plot_spectra,
)
from pdeinv.benchmarks.reports.tables import (
    LIMITS,
    overall_table,
    read_records,
    standings,
    tasks_table,
    told_by,
)
from pdeinv.benchmarks.suites import RECORDS
from pdeinv.benchmarks.summary import summarise
from pdeinv.errors import InputError
from pdeinv.files import atomic_write, save_figure

__all__ = ["write_page"]

_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;font-size:13px}td,th{border-bottom:1px solid #ddd;padding:2px "
    "8px;text-align:left}"
    "td.n,th.n{text-align:right}img{max-width:100%}h2{margin-top:2em}"
)


@dataclass
class Block:
    """A part of the page: a heading with words, a Markdown table, and a figure under its file's
    name."""

    heading: str
    words: str = ""
    table: str = ""
    figure: Figure | None = None
    name: str = ""


def write_page(place: str | Path, *, pictures: bool = True, progress: bool = False) -> list[Path]:
    """Write report.md with figures/ beside it, and report.html with all inside, into the folder of
    a suite.

    Arguments:
        place: the folder with the records of `pdeinv benchmark --suite`; or the file of summaries
            that a run of your own tasks wrote, NAME.jsonl, beside which NAME.report.md,
            NAME.report.html and NAME.figures/ are put.
        pictures: reconstruct the best, the median and the worst instance of each task again.
        progress: show a bar for these.

    Returns:
        The two files.

    Raises:
        InputError: there are no records, or records of one task that come from different instances.
    """
    place = Path(place)
    own = place.suffix == ".jsonl" and not place.is_dir()
    folder, records = (place.parent, place.name) if own else (place, RECORDS)
    prefix = f"{place.stem}." if own else ""
    log = folder / f"{Path(records).stem}.instances.jsonl"
    if not log.is_file():
        how = f"--pde ... --method ... --out {place}" if own else f"--suite quick --out {place}"
        raise InputError(f"{folder} has no {log.name}; make it with `pdeinv benchmark {how}`")
    rows = read_records(log)
    if not rows:
        raise InputError(f"{log} is empty; let `pdeinv benchmark` finish an instance first")
    records = summarise(rows)  # of all that is there, though the run may not have ended
    _check_instances(rows, records)
    blocks = list(_blocks(records, rows, pictures, progress))
    figures = folder / f"{prefix}figures"
    figures.mkdir(exist_ok=True)
    for b in blocks:
        if b.figure:
            save_figure(b.figure, figures / f"{b.name}.png")
    pages = [
        (folder / f"{prefix}report.md", _markdown(blocks, figures.name)),
        (folder / f"{prefix}report.html", _html(blocks)),
    ]
    for path, text in pages:
        with atomic_write(path) as temporary:
            temporary.write_text(text)
    return [path for path, _ in pages]


def _check_instances(rows: list[dict], records: list[dict]) -> None:
    seen: dict[tuple, dict] = {}
    settings = ("grid", "sensors", "noise", "seed", "variant")
    kinds = sorted({tuple((name, r[name]) for name in settings) for r in records})
    if len(kinds) > 1:
        first, second = (", ".join(f"{name} {value}" for name, value in kind) for kind in kinds[:2])
        raise InputError(
            f"the records are of different tasks ({first}; {second}); give each suite its own "
            f"folder, and each other run its "
            "own --out"
        )
    for r in (r for r in rows if "instance_hash" in r):  # unlike older rows
        place = tuple(
            r[k] for k in ("pde", "task", "grid", "sensors", "noise", "seed", "variant", "instance")
        )
        first = seen.setdefault(place, r)
        if r["instance_hash"] != first["instance_hash"]:
            raise InputError(
                f"instance {r['instance']} of {r['pde']} {r['task']} is {first['instance_hash']} "
                f"for {first['method']} and "
                f"{r['instance_hash']} for {r['method']}: they ran on different fields; run both "
                f"in one environment"
            )


def _blocks(records, rows, pictures, progress) -> Iterable[Block]:
    def all_of(name):
        return "; ".join(
            dict.fromkeys(part for r in records if name in r for part in r[name].split("; "))
        )

    first = records[0]
    outside = ""
    if first["variant"] != "standard":
        outside = f" The fields are out of that distribution, and no method was told: *{first['variant']}*."
    own = sorted({(r["method"], r["settings"]) for r in records if r["settings"]})
    unusual = "; ".join(method + " " + re.sub('[{}"]', "", told) for method, told in own)
    yield Block(
        "Benchmark",
        f"{first['grid']} x {first['grid']} nodes, {first['sensors']} sensors, noise "
        f"{first['noise']:g}, seed {first['seed']}. "
        "Errors are those of the posterior mean of as many samples as the tables say, with the "
        "standard error over instances: "
        "relative L2, or the error rate of a coefficient with two values. *The limit* is the "
        "solver that knows the "
        f"distribution of the coefficients: {', '.join(LIMITS)}.{outside} "
        + (f"Settings other than the usual ones: {unusual}. " if unusual else "")
        + f"Made by `{all_of('command')}` at commit {all_of('commit')} with {all_of('versions')} on {all_of('machine')}.",
    )
    yield Block("Standings", "Over all tasks; ranks count within each.", overall_table(records))
    yield Block("Task by task", "", tasks_table(records))
    yield Block("Error over the limit", "", figure=plot_over_limit(records), name="over-limit")
    for cost, (_, label, _) in COSTS.items():
        yield Block(
            f"Error against {label}",
            "Methods without a network stand at 1." if cost == "evaluations" else "",
            figure=plot_cost(records, cost),
            name=f"cost-{cost}",
        )
    two = [r for group in standings(records).values() for r in _two(group)]
    if two:
        yield Block(
            "Calibration",
            "How often the truth has each rank among the samples, over its expectation; flat is "
            "calibrated, a U too narrow. "
            "Shown are the limit and the best other method of each task.",
            figure=plot_ranks(two),
            name="ranks",
        )
    yield Block(
        "Scales of the error",
        "Root of the error's power over the truth's, octave by octave of wavenumbers; 1 is "
        "knowing nothing.",
        figure=plot_spectra(records),
        name="spectra",
    )
    if pictures:
        yield from _pictures(records, rows, progress)
    if (first["grid"], first["sensors"], first["noise"]) == (128, 500, 0.0):
        yield Block(
            "Published figures",
            "Not measured here: other priors, other instances, the same tasks.",
            _published(),
        )


def _two(group):
    """The limit of a task and the best other method, where they are there and have not diverged."""
    found = [r for r in group if r["error"] is not None]
    limits, others = (
        [r for r in found if (r["method"] in LIMITS) == known] for known in (True, False)
    )
    return limits[:1] + others[:1]


def _pictures(records, rows, progress) -> Iterable[Block]:
    """The best, the median and the worst instance of the best method that does not know the
    distribution."""
    chosen = {
        key: [r for r in group if r["method"] not in LIMITS]
        for key, group in standings(records).items()
    }
    for (pde, task, field), group in tqdm(
        [(k, g) for k, g in chosen.items() if g],
        desc="pictures",
        disable=not progress,
        unit="task",
        leave=False,
    ):
        best = group[0]
        same = (
            "pde",
            "task",
            "field",
            "metric",
            "method",
            "equireg",
            "steps",
            "settings",
            "given_prior",
            "samples",
        )
        own = [r for r in rows if all(r[k] == best[k] for k in same) and r["error"] is not None]
        if not own:
            continue  # it diverged everywhere
        own.sort(key=lambda r: r["error"])
        shown = {"best": own[0], "worst": own[-1]}
        if len(own) > 2:
            shown = {"best": own[0], "median": own[len(own) // 2], "worst": own[-1]}
        yield Block(
            f"{pde} {task}: {field.replace('_', ' ')} by {told_by(best)}",
            figure=plot_instances(shown),
            name=f"instances-{pde}-{task}-{field.replace('_', '-')}",
        )


def _published() -> str:
    columns = list(next(iter(PUBLISHED.values()))[1])
    lines = ["| method | " + " | ".join(f"{pde} {task}" for pde, task in columns) + " | source |"]
    lines.append("| --- |" + " ---: |" * len(columns) + " --- |")
    for name, (source, errors) in PUBLISHED.items():
        lines.append(
            f"| {name} | "
            + " | ".join(f"{errors[c]:.2f}" if c in errors else "" for c in columns)
            + f" | {source} |"
        )
    return "\n".join(lines)


def _markdown(blocks: list[Block], figures: str) -> str:
    parts = []
    for i, b in enumerate(blocks):
        parts.append(f"{'#' if i == 0 else '##'} {b.heading}")
        parts += [part for part in (b.words, b.table) if part]
        if b.figure:
            parts.append(f"![{b.heading}]({figures}/{b.name}.png)")
    return "\n\n".join(parts) + "\n"


def _html(blocks: list[Block]) -> str:
    parts = []
    for i, b in enumerate(blocks):
        level = 1 if i == 0 else 2
        parts.append(f"<h{level}>{html.escape(b.heading)}</h{level}>")
        if b.words:
            words = re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(b.words))
            words = re.sub(r"[*]([^*]+)[*]", r"<em>\1</em>", words)
            parts.append(f"<p>{words}</p>")
        if b.table:
            parts.append(_html_table(b.table))
        if b.figure:
            stream = io.BytesIO()
            b.figure.savefig(stream, dpi=110, format="png")
            data = base64.b64encode(stream.getvalue()).decode()
            parts.append(f'<img alt="{html.escape(b.heading)}" src="data:image/png;base64,{data}">')
    head = f'<meta charset="utf-8"><title>Benchmark</title><style>{_STYLE}</style>'
    return (
        f"<!doctype html><html><head>{head}</head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _html_table(markdown: str) -> str:
    cells = [
        [c.strip() for c in line.strip().strip("|").split("|")] for line in markdown.splitlines()
    ]
    head, rule, *body = cells
    kinds = [' class="n"' if r.endswith(":") else "" for r in rule]

    def line(row, tag):
        return (
            "<tr>"
            + "".join(
                f"<{tag}{k}>{html.escape(c)}</{tag}>" for c, k in zip(row, kinds, strict=True)
            )
            + "</tr>"
        )

    return "<table>" + line(head, "th") + "".join(line(row, "td") for row in body) + "</table>"
