"""From encoded pictures to the arrays of a dataset, one picture in memory at a time."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from advsparse.data._containers import Container
from advsparse.data._files import reading
from advsparse.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".tif", ".tiff", ".webp"),
)
_FORMATS = ("PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP")


def read_images(
    container: Container, entries: Sequence[str], *, size: int | None, channels: int = 3
) -> np.ndarray:
    """The pictures ``entries`` as ``uint8``, N x channels x H x W, in their order.

    Each is converted to grey (1 channel) or colour (3). With ``size``, its central square is
    resized to size x size pixels by bicubic interpolation; otherwise all must be of one size.
    Raises DataError, naming the entry.
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


def _decoded(data: bytes, size: int | None, channels: int) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError:  # whose own message is about the BytesIO
        raise ValueError(f"no image of the formats {', '.join(_FORMATS)}") from None
    if image.mode.startswith(("I", "F")):  # Pillow would clip these to 255
        raise ValueError(f"pixels of more than eight bits (mode {image.mode})")
    image = image.convert("L" if channels == 1 else "RGB")  # decodes all of it
    if size is None:
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    return image if side == size else image.resize((size, size), Image.Resampling.BICUBIC)
