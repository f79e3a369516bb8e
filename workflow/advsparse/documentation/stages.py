"""The picture of the stages in docs/architecture.md: which artifacts the jobs of each one read."""

from __future__ import annotations

from pathlib import Path

from advsparse.config.loading import load
from advsparse.config.plan import Plan
from advsparse.documentation._markdown import COMMAND, DOCS, ROOT
from advsparse.stages._graph import Graph, jobs_in
from advsparse.stages._registry import stages

PAGE = DOCS / "stages.svg"

_WIDTH, _HEIGHT, _RIGHT, _DOWN, _MARGIN = 140, 38, 96, 58, 16
_COLOURS = {True: "#dbe8f4", False: "#fbe7cf"}
"""Of a stage that computes, and of one that shows what others have computed."""


def edges() -> dict[str, set[str]]:
    """The other stages whose artifacts the jobs of each stage read, of the papers as shipped."""
    graph = Graph(Plan(load([Path(ROOT / "config.yaml")])))
    found: dict[str, set[str]] = {job.stage: set() for job in graph.reached}
    for job in graph.reached:
        found[job.stage] |= {need.stage for need in jobs_in(graph.needs(job))} - {job.stage}
    return found


def stages_picture() -> str:
    """The stages on a diagonal, each after those that it reads; dots stand for what is read.

    What would lead back is left out: a defence may learn from attacks on a network without one.
    """
    reads = edges()
    order: list[str] = []
    while len(order) < len(reads):
        left = sorted(name for name in reads if name not in order)
        order.append(min(left, key=lambda name: len(reads[name] - set(order))))
        reads[order[-1]] &= set(order)
    corner = {name: (_MARGIN + i * _RIGHT, _MARGIN + i * _DOWN) for i, name in enumerate(order)}
    column = {name: x + _WIDTH - 24 for name, (x, _) in corner.items()}
    row = {name: y + _HEIGHT / 2 for name, (_, y) in corner.items()}
    parts = []
    for name in order:
        readers = [other for other in order if name in reads[other]]
        if readers:
            start = corner[name][0] + _WIDTH
            parts.append(
                _line(start, row[name], max(column[other] for other in readers), row[name])
            )
        if reads[name]:
            top = min(row[other] for other in reads[name])
            end = corner[name][1]
            parts.append(_line(column[name], top, column[name], end, ' marker-end="url(#tip)"'))
        parts += [_dot(column[other], row[name]) for other in readers]
    parts += [_box(name, *corner[name]) for name in order]
    width = corner[order[-1]][0] + _WIDTH + _MARGIN
    height = corner[order[-1]][1] + _HEIGHT + _MARGIN
    return _PICTURE.format(width=width, height=height, command=COMMAND, parts="\n".join(parts))


def _line(x1: float, y1: float, x2: float, y2: float, more: str = "") -> str:
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"{more}/>'


def _dot(x: float, y: float) -> str:
    return f'<circle cx="{x:g}" cy="{y:g}" r="3.5"/>'


def _box(name: str, x: float, y: float) -> str:
    stage, middle = stages()[name], x + _WIDTH / 2
    return (
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="5" '
        f'fill="{_COLOURS[stage.computes]}"/>'
        f'<text x="{middle:g}" y="{y + 16}" class="name">{name}</text>'
        f'<text x="{middle:g}" y="{y + 31}">{stage.folder}/*{stage.suffixes[0]}</text>'
    )


_PICTURE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" \
height="{height}" role="img">
<!-- Generated from the stages by: {command} -->
<title>The stages: along the row of each, dots mark the stages that read its artifacts</title>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" \
orient="auto"><path d="M0 0 8 4 0 8z" fill="#456"/></marker></defs>
<style>
line {{ stroke: #456; stroke-width: 1.3 }}
circle {{ fill: #456 }}
rect {{ stroke: #456; stroke-width: 1 }}
text {{ font: 11px system-ui, sans-serif; text-anchor: middle; fill: #333 }}
text.name {{ font-weight: bold; font-size: 13px }}
</style>
<rect width="{width}" height="{height}" fill="#fff" stroke="none" style="stroke: none"/>
{parts}
</svg>
"""
