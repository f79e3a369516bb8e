"""A dataset of image files, one folder a class, in a folder, a zip or a tar archive."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from advsparse.data._base import Source, Splits
from advsparse.data._files import Container, existing, located, opened, reading, splits
from advsparse.errors import DataError
from advsparse.settings import PositiveInt, settings

if TYPE_CHECKING:
    from PIL import Image

_ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".tif", ".tiff", ".webp"),
)
_FORMATS = ("PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP")

Tree = dict[str, dict[str, list[str]]]
"""Split -> class -> entries of the container, classes and entries sorted."""


@settings
class Folder(Source):
    """Images at train/<class>/<file> and test/<class>/<file> in a folder or an archive.

    Both may lie below one common top folder. Read are files named as PNG, JPEG, BMP, PPM, TIFF or
    WebP images; hidden files, __MACOSX and files of other names are passed over. An archive, .zip
    or .tar (.gz, .bz2, .xz), is read in place. Classes and files are sorted by name.
    """

    path: Annotated[str, Field(min_length=1)]
    """The folder or archive; a relative path starts at the data directory."""

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

    def load(self, directory: Path) -> Splits:
        path = existing(self.path, directory)
        with opened(path) as container:
            tree = _tree(container)
            counts = {"train": self.train_per_class, "test": self.test_per_class}
            kept = {
                split: [files[: counts[split]] for files in classes.values()]
                for split, classes in tree.items()
            }
            entries = [file for split in kept.values() for files in split for file in files]
            images = self._images(container, entries)
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

    def files(self, directory: Path) -> list[Path]:
        return [located(self.path, directory)]

    def _images(self, container: Container, entries: list[str]) -> np.ndarray:
        """The images of ``entries``, N x C x H x W, in their order."""
        from PIL import Image

        position = {entry: i for i, entry in enumerate(entries)}
        images, first = None, ""
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            for entry, data in container.read(entries):
                with reading(container.path, entry):
                    pixels = np.asarray(self._decoded(data))
                if images is None:
                    images, first = np.empty((len(entries), *pixels.shape), np.uint8), entry
                if pixels.shape != images.shape[1:]:
                    height, width, *_ = images.shape[1:]
                    raise DataError(
                        f"{container.path}: {entry} is {pixels.shape[1]} x {pixels.shape[0]} "
                        f"pixels, but {first} is {width} x {height}; give size, to resize them"
                    )
                images[position[entry]] = pixels
        images = images[:, None] if self.channels == 1 else images.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(images)

    def _decoded(self, data: bytes) -> Image.Image:
        from PIL import Image, UnidentifiedImageError

        try:
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
        except UnidentifiedImageError:  # whose own message is about the BytesIO
            raise ValueError(f"no image of the formats {', '.join(_FORMATS)}") from None
        if image.mode.startswith(("I", "F")):  # Pillow would clip these to 255
            raise ValueError(f"pixels of more than eight bits (mode {image.mode})")
        image = image.convert("L" if self.channels == 1 else "RGB")  # decodes all of it
        if self.size is None:
            return image
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        if side != self.size:
            image = image.resize((self.size, self.size), Image.Resampling.BICUBIC)
        return image


def _tree(container: Container) -> Tree:
    """Where the images of each split and class are; the splits have the same classes."""
    paths = {entry: entry.split("/") for entry in sorted(container.entries) if _is_image(entry)}
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


def _is_image(entry: str) -> bool:
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in entry.split("/"))
    return not hidden and entry.lower().endswith(_ENDINGS)
