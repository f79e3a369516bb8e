"""ImageNet: from a folder that the user has."""

from __future__ import annotations

from pathlib import Path

from advsparse.data._base import Splits
from advsparse.data._imagenet import ImageNetFolder, images_of, wnids
from advsparse.errors import DataError
from advsparse.settings import PositiveInt, settings


@settings
class ImageNet(ImageNetFolder):
    """The classes of ImageNet that a folder has, with train/<wnid>/<file> and val/<wnid>/<file>.

    The validation images are the test images here. A class is called by its WordNet id. An
    image is turned upright as its EXIF orientation says, where it has one.
    """

    train_per_class: PositiveInt | None = None
    """Read at most so many training images of each class, the first by name. All 1.3 million take
    150 kB each on disk at 224 x 224 pixels; in memory there are some at a time."""

    test_per_class: PositiveInt | None = None
    """Read at most so many test images of each class, the first by name."""

    def load(self, directory: Path) -> Splits:
        folder = self._folder(directory)
        classes = wnids(folder, "train")
        if not classes:
            raise DataError(f"{folder}: train has no folder named as a WordNet id, as n01440764")
        train, test = (
            {wnid: images_of(folder, split, wnid)[:count] for wnid in classes}
            for split, count in (("train", self.train_per_class), ("val", self.test_per_class))
        )
        return self._splits(folder, train, test)
