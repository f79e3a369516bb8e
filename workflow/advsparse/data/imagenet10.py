"""ImageNet-10: ten coarse classes of ImageNet."""

from __future__ import annotations

from pathlib import Path

from advsparse.data._base import Splits
from advsparse.data._imagenet import ImageNetFolder, images_of, in_turns
from advsparse.settings import PositiveInt, settings

COARSE = {
    "amphibian_reptile": (  # fire salamander, bullfrog, tree frog, tailed frog, leatherback turtle,
        # terrapin, iguana, African chameleon, Komodo dragon, American alligator
        *("n01629819", "n01641577", "n01644373", "n01644900", "n01665541"),
        *("n01667778", "n01677366", "n01694178", "n01695060", "n01698640"),
    ),
    "bird": (  # cock, ostrich, goldfinch, bald eagle, macaw,
        # goose, black stork, flamingo, king penguin, albatross
        *("n01514668", "n01518878", "n01531178", "n01614925", "n01818515"),
        *("n01855672", "n02002724", "n02007558", "n02056570", "n02058221"),
    ),
    "boat": (  # canoe, catamaran, container ship, fireboat, gondola,
        # lifeboat, liner, schooner, speedboat, yawl
        *("n02951358", "n02981792", "n03095699", "n03344393", "n03447447"),
        *("n03662601", "n03673027", "n04147183", "n04273569", "n04612504"),
    ),
    "bus_truck": (  # fire engine, garbage truck, minibus, moving van, pickup,
        # school bus, tow truck, tractor, trailer truck, trolleybus
        *("n03345487", "n03417042", "n03769881", "n03796401", "n03930630"),
        *("n04146614", "n04461696", "n04465501", "n04467665", "n04487081"),
    ),
    "car": (  # ambulance, beach wagon, cab, convertible, jeep,
        # limousine, minivan, Model T, racer, sports car
        *("n02701002", "n02814533", "n02930766", "n03100240", "n03594945"),
        *("n03670208", "n03770679", "n03777568", "n04037443", "n04285008"),
    ),
    "cat": (  # tabby, tiger cat, Persian, Siamese, Egyptian,
        # cougar, lynx, leopard, lion, tiger
        *("n02123045", "n02123159", "n02123394", "n02123597", "n02124075"),
        *("n02125311", "n02127052", "n02128385", "n02129165", "n02129604"),
    ),
    "dog": (  # Chihuahua, beagle, Yorkshire terrier, golden retriever, Labrador,
        # springer spaniel, German shepherd, French bulldog, husky, standard poodle
        *("n02085620", "n02088364", "n02094433", "n02099601", "n02099712"),
        *("n02102040", "n02106662", "n02108915", "n02110185", "n02113799"),
    ),
    "fruit": (  # Granny Smith, strawberry, orange, lemon, fig,
        # pineapple, banana, jackfruit, custard apple, pomegranate
        *("n07742313", "n07745940", "n07747607", "n07749582", "n07753113"),
        *("n07753275", "n07753592", "n07754684", "n07760859", "n07768694"),
    ),
    "insect": (  # ladybug, fly, bee, ant, grasshopper,
        # cockroach, mantis, cicada, dragonfly, monarch
        *("n02165456", "n02190166", "n02206856", "n02219486", "n02226429"),
        *("n02233338", "n02236044", "n02256656", "n02268443", "n02279972"),
    ),
    "ungulate": (  # sorrel, zebra, hog, ox, bison,
        # ram, bighorn, impala, gazelle, Arabian camel
        *("n02389026", "n02391049", "n02395406", "n02403003", "n02410509"),
        *("n02412080", "n02415577", "n02422699", "n02423022", "n02437312"),
    ),
}
"""The coarse classes and the WordNet ids that each is made of, ten of them, sorted."""


@settings
class ImageNet10(ImageNetFolder):
    """Ten coarse classes of ImageNet, after sun2019, section 5.1, which does not list its own.

    Made from a folder with train/<wnid>/<file> and val/<wnid>/<file>. The images of a class come
    from its ten WordNet ids in turns. Test images are the validation images, 500 a class, and then
    training images that come after those of ``train_per_class``, as sun2019 has 2000 of them. An
    image is turned upright as its EXIF orientation says, where it has one.
    """

    size: PositiveInt = 64
    """Height and width of the images, in pixels: the central square, resized by bicubic
    interpolation. sun2019 uses 64 and 128."""

    train_per_class: PositiveInt = 8000
    """At most so many training images of each class."""

    test_per_class: PositiveInt = 2000
    """At most so many test images of each class."""

    def load(self, directory: Path) -> Splits:
        folder = self._folder(directory)
        train, test = {}, {}
        for name, members in COARSE.items():
            pool, held_out = (
                in_turns([images_of(folder, split, wnid) for wnid in members])
                for split in ("train", "val")
            )
            train[name] = pool[: self.train_per_class]
            test[name] = (held_out + pool[self.train_per_class :])[: self.test_per_class]
        return self._splits(folder, train, test)
