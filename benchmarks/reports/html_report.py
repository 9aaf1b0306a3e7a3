"""The page of a benchmark: tables and figures of its records, as Markdown and as one HTML file."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pdeinv.benchmarks.kinds import INSTANCES
from pdeinv.benchmarks.records import TASK, Record, cell_key, read_records, values_of
from pdeinv.benchmarks.reports.columns import processors
from pdeinv.benchmarks.reports.figures import (
    COSTS,
    plot_cost,
    plot_instances,
    plot_over_limit,
    plot_ranks,
    plot_reliability,
    plot_spectra,
)
from pdeinv.benchmarks.reports.introduction import introduction
from pdeinv.benchmarks.reports.labels import method_line
from pdeinv.benchmarks.reports.standings import standings
from pdeinv.benchmarks.reports.tables import overall_table, published_table, tasks_table
from pdeinv.benchmarks.runner import instances_file
from pdeinv.benchmarks.suites import RECORDS
from pdeinv.benchmarks.summary import is_limit, summarise
from pdeinv.errors import InputError
from pdeinv.files import atomic_write, ensure_folder, save_figure
from pdeinv.progress import progress_bar

__all__ = ["write_page"]

_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;font-size:13px}td,th{border-bottom:1px solid #ddd;padding:2px "
    "8px;text-align:left}"
    "td.n,th.n{text-align:right}img{max-width:100%}h2{margin-top:2em}"
)
_SETTINGS = ("grid", "sensors", "noise", "seed", "variant")  # which all tasks of a page share
_OF_FAMILIES = ("grid", "seed")  # which those of families do
_PUBLISHED_SETTING = (128, 500, 0.0)  # grid, sensors and noise


@dataclass
class Block:
    """A part of the page.

    Arguments:
        heading: of the part.
        words: text in Markdown.
        table: table in Markdown.
        figure: drawn figure.
        name: of the figure's file, without its ending.
    """

    heading: str
    words: str = ""
    table: str = ""
    figure: Figure | None = None
    name: str = ""


def write_page(place: str | Path, *, pictures: bool = True, progress: bool = False) -> list[Path]:
    """Write report.md with its folder figures/, and report.html with all figures inside.

    Arguments:
        place: the folder of a suite's records, in which the page is written; or a file of
            summaries NAME.jsonl, next to which NAME.report.md, NAME.report.html and NAME.figures/
            are written.
        pictures: compute the best, the median and the worst instance of each task again.
        progress: show a bar for these.

    Returns:
        The two files.

    Raises:
        InputError: there are no records, or they are of different tasks or instances.
    """
    place = Path(place)
    is_file = place.suffix == ".jsonl" and not place.is_dir()
    summaries = place if is_file else place / RECORDS
    folder, prefix = summaries.parent, f"{place.stem}." if is_file else ""
    log = instances_file(summaries)
    if not log.is_file():
        how = f"--pde ... --method ... --out {place}" if is_file else f"--suite quick --out {place}"
        raise InputError(f"{folder} has no {log.name}; make it with `pdeinv benchmark {how}`")
    rows = read_records(log, kinds=(INSTANCES,))
    records = summarise(rows)  # of all that is there, though the run may not have ended
    _check_same_task(records)
    _check_same_instances(rows)
    blocks = list(_blocks(records, rows, pictures, progress))
    figures = ensure_folder(folder / f"{prefix}figures")
    for b in blocks:
        if b.figure:
            save_figure(b.figure, figures / f"{b.name}.png")
    pages = {
        folder / f"{prefix}report.md": _markdown(blocks, figures.name),
        folder / f"{prefix}report.html": _html(blocks),
    }
    for path, text in pages.items():
        with atomic_write(path) as temporary:
            temporary.write_text(text)
    return list(pages)


def _check_same_task(records: list[Record]) -> None:
    shared = _OF_FAMILIES if all(r.get("family") for r in records) else _SETTINGS
    kinds = sorted({values_of(r, shared) for r in records})
    if len(kinds) > 1:
        first, second = (
            ", ".join(f"{name} {value}" for name, value in zip(shared, kind, strict=True))
            for kind in kinds[:2]
        )
        raise InputError(
            f"the records must be of the same tasks, got {first} and {second}; give each suite its "
            f"own folder, and each other run its own --out"
        )


def _check_same_instances(rows: list[Record]) -> None:
    seen: dict[tuple[Any, ...], Record] = {}
    for r in rows:
        if "instance_hash" not in r:  # older records
            continue
        first = seen.setdefault((*values_of(r, TASK), r["instance"]), r)
        if r["instance_hash"] != first["instance_hash"]:
            raise InputError(
                f"instance {r['instance']} of {r['pde']} {r['task']} must be the same for all "
                f"methods, got {first['instance_hash']} for {first['method']} and "
                f"{r['instance_hash']} for {r['method']}; run both in one environment"
            )


def _blocks(
    records: list[Record], rows: list[Record], pictures: bool, progress: bool
) -> Iterator[Block]:
    yield Block("Benchmark", introduction(records))
    yield Block("Standings", "Over all tasks; ranks count within each.", overall_table(records))
    yield Block("Task by task", "", tasks_table(records))
    yield Block("Error over the limit", "", figure=plot_over_limit(records), name="over-limit")
    for cost, (name, label, _) in COSTS.items():
        if name == "seconds_per_instance" and len(processors(records)) > 1:
            continue  # not comparable
        words = "Methods without a network are at 1." if cost == "evaluations" else ""
        figure = plot_cost(records, cost)
        yield Block(f"Error against {label}", words, figure=figure, name=f"cost-{cost}")
    two = [r for group in standings(records).values() for r in _limit_and_best(group)]
    if two:
        yield Block(
            "Calibration",
            "How often the truth has each rank among the samples, over its expectation. A flat "
            "histogram is calibrated; one that rises at both ends has samples too close together. "
            "Shown are the limit and the best other method of each task.",
            figure=plot_ranks(two),
            name="ranks",
        )
    if any(r.get("reliability") for r in records):
        yield Block(
            "Reliability",
            "Where a method gives the high value of a coefficient some probability, how often the "
            "truth has it: on the line for probabilities that are right. Marks grow with the share "
            "of nodes.",
            figure=plot_reliability(records),
            name="reliability",
        )
    yield Block(
        "Scales of the error",
        "Root of the error's power over the truth's in each octave of wavenumbers; it is 1 for the "
        "prior's mean.",
        figure=plot_spectra(records),
        name="spectra",
    )
    if pictures:
        yield from _pictures(records, rows, progress)
    if values_of(records[0], _SETTINGS[:3]) == _PUBLISHED_SETTING:
        yield Block(
            "Published figures",
            "Errors of single samples, as papers report them. Those of the papers are of other "
            "priors and other instances of the same tasks.",
            published_table(records),
        )


def _limit_and_best(group: list[Record]) -> list[Record]:
    """Return the limit of a task and the best other method, if they have not diverged."""
    found = [r for r in group if r["error"] is not None]
    limits = [r for r in found if is_limit(r)]
    others = [r for r in found if not is_limit(r)]
    return limits[:1] + others[:1]


def _pictures(records: list[Record], rows: list[Record], progress: bool) -> Iterator[Block]:
    """Draw the best, the median and the worst instance of each task's best method.

    The limits do not count as methods here.
    """
    best = {
        key: others[0]
        for key, group in standings(records).items()
        if (others := [r for r in group if not is_limit(r)])
    }
    bar = progress_bar(best.items(), "pictures", progress, unit="task")
    for (pde, task, field), r in bar:
        key = (*cell_key(r), r["field"], r["metric"])
        own = [
            row
            for row in rows
            if (*cell_key(row), row["field"], row["metric"]) == key and row["error"] is not None
        ]
        if not own:
            continue  # it diverged everywhere
        own.sort(key=lambda row: row["error"])
        shown = {"best": own[0]}
        if len(own) > 2:
            shown["median"] = own[len(own) // 2]
        yield Block(
            f"{pde} {task}: {field.replace('_', ' ')} by {method_line(r)}",
            figure=plot_instances(shown | {"worst": own[-1]}),
            name=re.sub(r"[^a-z0-9.]+", "-", f"instances-{pde}-{task}-{field}"),
        )


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
            table, *notes = b.table.split("\n\n")
            parts += [_html_table(table), *(f"<p>{html.escape(note)}</p>" for note in notes)]
        if b.figure:
            stream = io.BytesIO()
            b.figure.savefig(stream, dpi=110, format="png")
            data = base64.b64encode(stream.getvalue()).decode()
            parts.append(f'<img alt="{html.escape(b.heading)}" src="data:image/png;base64,{data}">')
    head = f'<meta charset="utf-8"><title>Benchmark</title><style>{_STYLE}</style>'
    body = "\n".join(parts)
    return f"<!doctype html><html><head>{head}</head><body>\n{body}\n</body></html>\n"


def _html_table(markdown: str) -> str:
    head, rule, *body = (
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in markdown.splitlines()
    )
    kinds = [' class="n"' if r.endswith(":") else "" for r in rule]

    def line(row: list[str], tag: str) -> str:
        cells = zip(row, kinds, strict=True)
        return "<tr>" + "".join(f"<{tag}{k}>{html.escape(c)}</{tag}>" for c, k in cells) + "</tr>"

    return "<table>" + line(head, "th") + "".join(line(row, "td") for row in body) + "</table>"
