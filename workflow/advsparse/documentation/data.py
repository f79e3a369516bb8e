"""The page on the published datasets, generated from the registry and the sources' docstrings."""

from __future__ import annotations

from advsparse import registry
from advsparse.data._published import FETCH
from advsparse.data._registry import Dataset, registered
from advsparse.data.imagenet10 import COARSE
from advsparse.documentation._markdown import COMMAND, DOCS, prose, table

PAGE = DOCS / "data.md"

_INTRODUCTION = f"""\
<!-- Generated from workflow/advsparse/data/registry.yaml by: {COMMAND} -->

# Data

Some datasets are read as their authors publish them. Their files are fetched by

```sh
{FETCH} --config preset=mini
```

with the options of the run, here a preset: all files that the datasets in the
papers' roles need, and nothing else of the pipeline uses the network. They go to
`<data.directory>/<kind>/`, by default `data/<kind>/`. A file that is there already is checked and
left alone, so that one that was copied there does as well. One that is not the published one is an
error, never replaced. Each time that a file is read, its SHA-256 is checked again.

A download that breaks off goes on where it was, also in a later run, from any address;
`<file>.part` holds what there is. The addresses are tried in turn. `data.mirrors` names copies of
a data directory, on a web server of your own for example, that are tried before them:

```yaml
data:
  mirrors: [https://data.example.org/advsparse]  # holds mnist/train-images-idx3-ubyte.gz
```

Archives are read in place. One that leads out of its folder, holds links or devices, has a file of
more than 64 MiB, or unpacks to more than 1 GiB and 100 times its own size, is refused.

Image files, of whatever dataset, are read as viewers show them: turned upright where an EXIF
orientation says how. The files of MNIST and CIFAR-10 hold none, and none was found in Tiny
ImageNet: their pixels are those of their files. Hidden files, such as the `._1.JPEG` of a Mac, are
no images. A file with more than eight bits a sample, grey or in colour, is refused: there is more
than one way to bring it to eight.

A copy in another form is named in the configuration, with its SHA-256, and with a note that every
table and figure made from it shows:

```yaml
datasets:
  cifar10_jpeg:
    kind: folder
    path: cifar10-jpeg.zip
    sha256: cd7a4371e075145697873ef11961d3a787889dbb1058f046d9987108fd0a738b
    note: re-encoded as JPEG of quality 75, slightly lossy
roles:
  cifar10: cifar10_jpeg
```

The licences below are what the authors say; whether they allow your use is for you to see.
"""


def data_page() -> str:
    """The page as docs/data.md holds it."""
    parts = [_INTRODUCTION]
    parts += [_section(kind, dataset) for kind, dataset in registered().items()]
    rows = [(f"`{name}`", " ".join(f"`{wnid}`" for wnid in ids)) for name, ids in COARSE.items()]
    classes = table(("Class", "WordNet ids"), rows)
    parts.append(f"The classes, chosen here as the paper does not list its own:\n\n{classes}")
    return "\n".join(parts)


def _section(kind: str, dataset: Dataset) -> str:
    lines = [
        f"## {dataset.title}: `kind: {kind}`\n",
        f"{prose(registry.load('data', kind).__doc__ or '')}\n",
        f"- Version: {dataset.version}",
        f"- Described at: <{dataset.homepage}>",
        f"- Licence: {dataset.licence}",
    ]
    if not dataset.files:
        lines.append("- Not fetched: each user asks for it, and puts it into a folder\n")
        return "\n".join(lines)
    official, *mirrors = dataset.addresses
    lines += [f"- Official address: <{official}>"]
    lines += [f"- Mirror: <{mirror}>" for mirror in mirrors]
    rows = [(f"`{file.name}`", str(file.size), f"`{file.sha256}`") for file in dataset.files]
    files = table(("File", "Bytes", "SHA-256"), rows, right=("Bytes",))
    return "\n".join([*lines, "", files])
