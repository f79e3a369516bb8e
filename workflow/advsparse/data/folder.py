"""A dataset of image files, one folder a class, in a folder, a zip or a tar archive."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from advsparse.data._base import Splits
from advsparse.data._containers import Container, opened
from advsparse.data._files import splits
from advsparse.data._images import image_names, is_image, read_images
from advsparse.data._local import LocalFile
from advsparse.errors import DataError
from advsparse.settings import PositiveInt, settings

Tree = dict[str, dict[str, list[str]]]
"""Split -> class -> entries of the container, classes and entries sorted."""


@settings
class Folder(LocalFile):
    """Images at train/<class>/<file> and test/<class>/<file> in a folder or an archive.

    Both may lie below one common top folder. Read are files named as PNG, JPEG, BMP, PPM, TIFF or
    WebP images; hidden files, __MACOSX, @eaDir and files of other names are passed over. An
    archive, .zip or .tar (.gz, .bz2, .xz), is read in place. Names in a zip are UTF-8 where it says
    so or Unix wrote it, and else, as the format has it, in the code page 437. Classes and files are
    sorted by name.

    An image is turned upright as its EXIF orientation says, so that it is what viewers show. One
    with more than eight bits a sample, grey or colour, is refused: which eight of them matter is
    for you to say, by converting it. So is one whose name is not UTF-8.

    It is read again when an image is added, removed, renamed or replaced.
    """

    size: PositiveInt | None = None
    """Height and width to which images are brought: the central square, resized by bicubic
    interpolation. If not given, all images must have one size already."""

    channels: Literal[1, 3] = 3
    """1 for grey images, 3 for colour; images of the other sort are converted, and an alpha channel
    is left out."""

    train_per_class: PositiveInt | None = None
    """Read at most so many training images of each class, the first by name."""

    test_per_class: PositiveInt | None = None
    """Read at most so many test images of each class, the first by name."""

    def reads(self, entry: str) -> bool:
        return not entry or is_image(entry)

    def load(self, directory: Path) -> Splits:
        path = self._checked(directory)
        with opened(path) as container:
            tree = _tree(container)
            counts = {"train": self.train_per_class, "test": self.test_per_class}
            kept = {
                split: [files[: counts[split]] for files in classes.values()]
                for split, classes in tree.items()
            }
            entries = [file for split in kept.values() for files in split for file in files]
            images = read_images(container, entries, size=self.size, channels=self.channels)
        y = {
            split: np.repeat(np.arange(len(files)), [len(some) for some in files]).astype(np.int64)
            for split, files in kept.items()
        }
        return splits(
            path,
            x_train=images[: len(y["train"])],
            y_train=y["train"],
            x_test=images[len(y["train"]) :],
            y_test=y["test"],
            classes=tuple(tree["train"]),
        )


def _tree(container: Container) -> Tree:
    """Where the images of each split and class are; the splits have the same classes."""
    entries = image_names(container.path, container.entries)
    paths = {entry: entry.split("/") for entry in entries}
    tops = {parts[0] for parts in paths.values()}
    if len(tops) == 1 and not tops & {"train", "test"}:
        paths = {entry: parts[1:] for entry, parts in paths.items()}
    found: Tree = {"train": {}, "test": {}}
    for entry, parts in paths.items():
        if parts[0] not in found:
            continue
        if len(parts) != 3:
            raise DataError(
                f"{container.path}: {entry}: images must lie at {parts[0]}/<class>/<file>"
            )
        found[parts[0]].setdefault(parts[1], []).append(entry)
    for split, other in (("train", "test"), ("test", "train")):
        if not found[split]:
            raise DataError(f"{container.path}: no image at {split}/<class>/<file>")
        missing = sorted(found[other].keys() - found[split].keys())
        if missing and found[other]:
            raise DataError(
                f"{container.path}: class {missing[0]!r} of {other} has no image in {split}"
            )
    # Sorted again: in the order of paths, "cat-2/" comes before "cat/".
    return {split: dict(sorted(classes.items())) for split, classes in found.items()}
