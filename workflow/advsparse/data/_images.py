"""From encoded pictures to the arrays of a dataset, one picture in memory at a time."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from advsparse.data._containers import Container, Files
from advsparse.data._files import check_utf8, reading
from advsparse.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".tif", ".tiff", ".webp"),
)
_FORMATS = ("PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP")
_LEFT_BEHIND = ("__MACOSX", "@eaDir")
"""Folders in which systems keep what is no image of the user's: macOS, and Synology's storage."""
_BITS_PER_SAMPLE = 258  # a tag of TIFF


def is_image(entry: str) -> bool:
    """Whether a file is read as an image, by its path: named as one, and not hidden."""
    hidden = any(part.startswith(".") or part in _LEFT_BEHIND for part in entry.split("/"))
    return not hidden and entry.lower().endswith(ENDINGS)


def image_names(path: Path, entries: Iterable[str]) -> list[str]:
    """Those of the files ``entries`` of ``path`` that are read as images, sorted.

    Raises DataError for a name that is not UTF-8: it would become that of a class.
    """
    names = sorted(entry for entry in entries if is_image(entry))
    for name in names:
        check_utf8(path, name)
    return names


def read_images(
    container: Container, entries: Sequence[str], *, size: int | None, channels: int = 3
) -> np.ndarray:
    """The pictures ``entries`` as ``uint8``, N x channels x H x W, in their order.

    Each is turned upright, as its EXIF orientation says, and converted to grey (1 channel) or
    colour (3). With ``size``, its central square is resized to size x size pixels by bicubic
    interpolation; otherwise all must be of one size. Raises DataError, naming the entry, also where
    a file has more than eight bits a sample.
    """
    from PIL import Image

    position = {entry: i for i, entry in enumerate(entries)}
    images, first = None, ""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for entry, data in container.read(entries):
            with reading(container.path, entry):
                pixels = np.atleast_3d(_decoded(data, size, channels)).transpose(2, 0, 1)
            if images is None:
                images, first = np.empty((len(entries), *pixels.shape), np.uint8), entry
            if pixels.shape != images.shape[1:]:
                height, width = images.shape[2:]
                raise DataError(
                    f"{container.path}: {entry} is {pixels.shape[2]} x {pixels.shape[1]} "
                    f"pixels, but {first} is {width} x {height}; give size, to resize them"
                )
            images[position[entry]] = pixels
    return images


class Pictures:
    """The pictures ``entries`` of a folder, as :func:`read_images` has them, each decoded when it
    is asked for: all 1.3 million of ImageNet fit into no memory."""

    dtype = np.dtype(np.uint8)

    def __init__(
        self, container: Files, entries: Sequence[str], *, size: int, channels: int = 3
    ) -> None:
        self._container, self._entries, self._size = container, entries, size
        self.shape = (len(entries), channels, size, size)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """The pictures of a slice, or of an array of their numbers; raises DataError."""
        rows, places = np.unique(np.arange(len(self))[index], return_inverse=True)
        if not rows.size:
            return np.empty((0, *self.shape[1:]), np.uint8)
        entries = [self._entries[row] for row in rows]
        found = read_images(self._container, entries, size=self._size, channels=self.shape[1])
        return found[places]


def _decoded(data: bytes, size: int | None, channels: int) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError:  # whose own message is about the BytesIO
        kinds = ", ".join(_FORMATS)
        raise ValueError(f"no image of the formats {kinds} with eight bits a sample") from None
    if _is_deep(image):
        raise ValueError("more than eight bits a sample; convert it to eight")
    image = _upright(image.convert("L" if channels == 1 else "RGB"))
    if size is None:
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    return image if side == size else image.resize((size, size), Image.Resampling.BICUBIC)


def _is_deep(image: Image.Image) -> bool:
    """Whether a file that is opened, not decoded yet, has more than eight bits a sample.

    Pillow would clip what is grey to 255, and of colours keep the upper eight bits, which are 0
    throughout in what a camera of twelve bits has left dark.
    """
    from PIL.TiffImagePlugin import TiffImageFile

    if image.mode.startswith(("I", "F")):
        return True
    how: Any = image.tile[0].args if image.tile else None
    if image.format == "PNG":
        return str(how).endswith(";16B")
    if image.format == "PPM":
        return isinstance(how, tuple) and how[-1] > 255  # the largest value of a sample
    if isinstance(image, TiffImageFile):
        return max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))) > 8
    return False


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        # Of damaged EXIF data, nothing of which says how the pixels, decoded already, are turned.
        return image
