"""The page on the defences, generated from their docstrings and declarations."""

from __future__ import annotations

from advsparse import registry
from advsparse.defenses._base import Defense, Detector, Transformation
from advsparse.documentation import _markdown, _settings
from advsparse.documentation.attacks import markdown, sections, with_formulas

PAGE = _markdown.DOCS / "defenses.md"

_BACKWARD = {
    "exact": "its own derivative",
    "identity": "the identity in the place of its derivative (BPDA)",
    "approximation": "an approximation in the place of its derivative (BPDA)",
}

_INTRODUCTION = f"""\
<!-- Generated from the docstrings of the defences by: {_markdown.COMMAND} -->

# Defences

{{table}}
## What holds for all of them

- **Places.** A defence acts in front of the network, as a transformation of images, or as an
  ensemble over several draws of one, whose class probabilities are averaged; in the network, whose
  layers then do something else; beside it, as a detector with a score and a threshold; or in
  training, which is a [setting](configuration.md) of that: `training: {{{{adversarial: ...}}}}`.
- **In training** there are two: `adversarial`, which attacks part of each mini-batch, whose loss
  may have a `weight` of its own; and a classifier's `adversarial_set`, images that were attacked
  beforehand. A [`denoising_dictionary`](#denoising_dictionary) is no part of either: it learns from
  clean images, and stands in front of any network.
- **In a paper**, `defenses` names them; a classifier says `defense: <name>`. One in front of the
  network has it trained on the training images as it transforms them, one draw for each image,
  kept in eight bits (with `adversarial`, images are attacked, then transformed); with
  `weights_of: <classifier>` another's network is put behind it as it is.
- **Counting.** An attacked image counts as defended if it is refused or still classified right, a
  clean one as right only if it passes and is right. Rows name the defence; beside a detector they
  hold the share that is refused, and the area under the curve of its score.
- **Randomness.** When it is evaluated, what a stochastic defence draws for an image follows from a
  seed and the image's pixels; attacks draw other numbers, afresh in each pass.
- **Attacks** that know nothing of a defence say nothing of it. [`adaptive`](attacks.md#adaptive)
  goes by what it declares: what stands for its derivative, its being random, its score.
- **Learning** sees clean training images alone, and what is learned is arrays.
- **Cost** is that of one image in a forward pass. [Measured](benchmarks.md#defences), it stands
  beside that of published libraries.
- **Known attacks** are those of others, on networks of their own: accuracies are what they report.
"""


def defenses_page() -> str:
    """The page as docs/defenses.md holds it."""
    classes = {kind: registry.load("defenses", kind) for kind in registry.kinds("defenses")}
    rows = [
        (f"[`{kind}`](#{kind})", cls.place, _said(cls, cls.stochastic), _backward(cls))
        for kind, cls in classes.items()
    ]
    table = _markdown.table(("Kind", "Place", "Random", "An adaptive attack goes by"), rows)
    parts, tables = [_INTRODUCTION.format(table=table)], _settings.tables_of("defenses")
    for kind, cls in classes.items():
        parts += [f"## `{kind}`\n", _defense(cls), tables[kind]]
    return "\n".join(parts)


def _defense(cls: type[Defense]) -> str:
    text, found = sections(cls)
    facts = {
        "Source": found.get("Source", ""),
        "Place": cls.place,
        "Random": _said(cls, cls.stochastic),
        "Learns": _said(cls, cls.learns, "from clean training images", "nothing"),
        "Made for a network": _said(cls, cls.asks_network),
        "An adaptive attack goes by": _backward(cls),
        "Cost": found.get("Cost", ""),
        "Known attacks": found.get("Attacks", ""),
    }
    lines = [f"- **{name}:** {with_formulas(value)}" for name, value in facts.items() if value]
    return markdown(text) + "\n" + "\n".join(lines) + "\n"


def _said(cls: type[Defense], declared: bool, yes: str = "yes", no: str = "no") -> str:
    return yes if declared else "as its parts" if cls.of_parts else no


def _backward(cls: type[Defense]) -> str:
    if issubclass(cls, Detector):
        return "its score, which the objective is told of"
    if cls.of_parts:
        return "what each of its parts declares"
    said = _BACKWARD[cls.backward if issubclass(cls, Transformation) else "exact"]
    return f"{said}, means over draws (EOT)" if cls.stochastic else said
