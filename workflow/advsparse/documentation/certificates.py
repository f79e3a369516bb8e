"""The page on certificates, generated from their docstrings."""

from __future__ import annotations

from advsparse import registry
from advsparse.documentation import _markdown, _settings
from advsparse.documentation.attacks import markdown, sections, with_formulas

PAGE = _markdown.DOCS / "certificates.md"

_INTRODUCTION = f"""\
<!-- Generated from the docstrings of the certificates by: {_markdown.COMMAND} -->

# Certificates

A certificate bounds the distance from an image to the nearest one that the network takes for
another class, from both sides: an adversarial image bounds it from above, a proof that there is
none nearer from below. In a paper, `certificates` names them, each with a classifier and images.

## Checking one

```
python -m advsparse.certify check results/<preset>/<paper>/certificates/<name>.npz \\
  --classifier results/<preset>/<paper>/classifiers/<model>.safetensors
```

replays every proof in the file: it needs neither a solver nor trust in whoever found the proof. The
file holds the network, the images, their nearest adversarial images, and for each class the
instructions of a proof, which name slopes, multipliers and divisions; the bounds that follow are
computed anew by `workflow/advsparse/certify/_replay.py`, on NumPy alone, with each rounding error
added in the direction that hurts. Whatever the instructions say, those bounds are true; what is
checked is that they suffice. `--classifier` checks that the network is the one that was trained.

## What holds for all of them

- **Classes.** `targets: all` speaks of every other class; `second` of the second most probable one
  alone, and the nearest adversarial image is often of another.
- **Status.** A lower bound is `replayed`, or `solver, not replayed` (networks with pooling, where a
  mixed-integer program is the proof), or `open`, which claims nothing.
- **Confidence.** The other class must win by alpha, which covers the difference between float32, in
  which networks run, and float64, in which certificates are; a network that differs by more is
  refused.
- **Time.** Where it does not suffice, the bounds are what has been proven by then. The file holds
  when each bound moved. What time allowed depends on the machine; that the bounds hold does not.
- **Networks** are sequences of affine layers (fully connected, convolution, normalisation, average
  pooling), ReLU and max-pooling: such as `feedforward` and `pooled_convnet`.
- **Scale.** Images are certified one by one, kept as they are finished, and divided among jobs by
  `shards: {{{{certificate: 10}}}}`.
"""


def certificates_page() -> str:
    """The page as docs/certificates.md holds it."""
    parts, tables = [_INTRODUCTION.format()], _settings.tables_of("certify")
    for kind in registry.kinds("certify"):
        text, found = sections(registry.load("certify", kind))
        source = f"\n- **Source:** {with_formulas(found['Source'])}\n"
        parts += [f"## `{kind}`\n", markdown(text) + source, tables[kind]]
    return "\n".join(parts)
