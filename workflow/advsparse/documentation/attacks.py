"""The page on the attacks, generated from their docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, get_args

from advsparse import registry
from advsparse.attacks._base import Attack
from advsparse.attacks._fitting import UniversalAttack
from advsparse.documentation import _markdown, _settings

PAGE = _markdown.DOCS / "attacks.md"

FAMILIES = (
    *("gradient", "minimum norm", "sparse", "universal", "black box"),
    *("ensemble", "adaptive", "control"),
)
"""The families, in the order of the page; others come last."""

SECTIONS = ("Source", "Cost", "Attacks", "Learns", "Trace")
"""The paragraphs of a docstring that begin with such a word and a colon."""

_INTRODUCTION = f"""\
<!-- Generated from the docstrings of the attacks by: {_markdown.COMMAND} -->

# Attacks

{{table}}
## What holds for all of them

- **Images** are N x C x H x W in [0, 1], labels integers, and a model returns logits. What an
  attack proposes is projected into its ball and, unless `clamp` is false, into [0, 1]; success and
  distance are measured on what is returned, the distance in float64.
- **Goal.** An untargeted attack leads away from the labels that it is given: the true ones, or the
  model's own predictions for a fooling rate. With targets, success is to reach them; classes given
  as `towards` are headed for, whatever counts as success. An image that is adversarial from the
  start comes back as it is, at distance 0.
- **Norms.** `relative_l2` is ‖x' − x‖₂ / ‖x‖₂ (sun2019, section 4); `l0` counts changed entries.
- **Failure.** An attack within a budget returns its best effort. One that minimises the norm
  returns the clean image at distance infinity, or with a `cutoff` its best effort within that.
- **Batches.** No image's result depends on another's, on the batch size or on the order, beyond
  rounding. Random numbers of an image follow from the seed and its pixels.
- **Memory.** `memory` is a budget in bytes, 2 GiB unless told otherwise, for activations and
  working copies; it decides how many images are attacked at once. Learning keeps to it too:
  gradients over all images are summed over chunks. The input and the result, N x C x H x W each,
  are not part of it, and a single image is the least an attack works on. On the CPU the budget is
  kept by the process; on a GPU it is an estimate, and workspaces of its libraries come on top.
- **Logits** may have another precision than the images. Those that are NaN or +infinity name no
  class: they are never a success. -infinity is the logit of a class that is out of the question.
- **Nothing is changed** that an attack is given, even if a model or a defence works in place.
- **Warnings** say that what is reported may say little of the model: it ends in a softmax, the
  first gradient was exactly 0 or not finite, logits are NaN or +infinity, or they are too large or
  too small to be weighed against a length. They are logged, raised as `AttackWarning`, and kept in
  the result, in the results' metadata and in the report.
- **Cost** is counted in gradients of an image, a forward and a backward pass each; the few forward
  passes before and after the attack are left out. `queries` of a result counts all passes.
- **The trace** holds arrays of N entries that one attack alone has to tell. It is empty where no
  image needed an attack; zeros stand for single images that needed none.
"""


def attacks_page(kinds: tuple[str, ...] | None = None) -> str:
    """The page as docs/attacks.md holds it."""
    classes = {kind: registry.load("attacks", kind) for kind in kinds or registry.kinds("attacks")}
    order = sorted(classes, key=lambda kind: (_rank(classes[kind].family), kind))
    rows = []
    for kind in order:
        cost = _markdown.prose(sections(classes[kind])[1].get("Cost", "")).rstrip(".")
        cells = (f"[`{kind}`](#{kind})", classes[kind].family, _norms(classes[kind]), cost)
        rows.append(cells)
    table = _markdown.table(("Kind", "Family", "Norms", "Cost"), rows)
    parts = [_INTRODUCTION.format(table=table)]
    tables = _settings.tables_of("attacks")
    for kind in order:
        parts += [f"## `{kind}`\n", _attack(classes[kind]), tables[kind]]
    return "\n".join(parts)


def sections(cls: type) -> tuple[str, dict[str, str]]:
    """A docstring without the paragraphs of :data:`SECTIONS`, and those by their first word."""
    rest, found = [], {}
    for block in inspect.cleandoc(cls.__doc__ or "").split("\n\n"):
        name, colon, text = block.partition(":")
        if colon and name in SECTIONS:
            found[name] = " ".join(text.split())
        else:
            rest.append(block)
    return "\n\n".join(rest), found


def norms_of(cls: type[Any]) -> tuple[str, ...]:
    """The norms that an attack declares; none for one that leaves them to another."""
    field = cls.__pydantic_fields__.get("norm")
    return get_args(field.annotation) if field else ()


def markdown(text: str) -> str:
    """A docstring in GitHub's Markdown: formulas between dollars, literals and roles as code."""
    blocks = []
    for block in text.split("\n\n"):
        if block.startswith(".. math::"):
            # In one line: one that began with a plus would begin a list.
            blocks.append(f"$$\n{' '.join(block.removeprefix('.. math::').split())}\n$$")
        else:
            blocks.append(with_formulas(block))
    return "\n\n".join(blocks) + "\n"


def with_formulas(text: str) -> str:
    """A paragraph of a docstring, whose formulas stand between dollars."""
    parts = re.split(r":math:`(.+?)`", text, flags=re.DOTALL)
    prose = [
        f"${' '.join(part.split())}$" if i % 2 else _markdown.prose(part)
        for i, part in enumerate(parts)
    ]
    return " ".join(part for part in prose if part).replace("$ .", "$.").replace("$ ,", "$,")


def _attack(cls: type[Attack]) -> str:
    text, found = sections(cls)
    said = {
        UniversalAttack.family: "yes: it learns from some images what it applies to others",
        "adaptive": "as the other attack",
    }
    facts: Mapping[str, str] = {
        "Source": found.get("Source", ""),
        "Family": cls.family,
        "Targets": "heads for them where they are given"
        if cls.aims
        else "ignores them; they only decide what counts as success",
        "Universal": said.get(cls.family, "no"),
        "Random": cls.randomness or "nothing",
        "Cost": found.get("Cost", ""),
        "Learns": found.get("Learns", ""),
        "Trace": found.get("Trace", "nothing."),
    }
    lines = [f"- **{name}:** {with_formulas(value)}" for name, value in facts.items() if value]
    lines.insert(2, f"- **Norms:** {_norms(cls)}")
    return markdown(text) + "\n" + "\n".join(lines) + "\n"


def _norms(cls: type[Attack]) -> str:
    return ", ".join(f"`{norm}`" for norm in norms_of(cls)) or "those of the other attack"


def _rank(family: str) -> int:
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)
