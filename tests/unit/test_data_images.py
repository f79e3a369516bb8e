"""How picture files become pixels: bits a sample, and which side is up."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from advsparse.data._containers import Files
from advsparse.data._images import read_images
from advsparse.errors import DataError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 10, 3), dtype=np.uint8)


def decoded(tmp_path, data, **options):
    path = tmp_path / "a.img"
    path.write_bytes(data)
    (pixels,) = read_images(Files(tmp_path, {"a.img": path}), ["a.img"], size=None, **options)
    return pixels.transpose(1, 2, 0)


def png(samples, colour):
    """A PNG with the dtype's bits a sample; colour: 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width = samples.shape[:2]
    big = samples.astype(samples.dtype.newbyteorder(">"))
    head = struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, colour, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in big))
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def pnm(samples, highest):
    height, width, channels = samples.shape
    magic = {1: b"P5", 3: b"P6"}[channels]
    big = samples.astype(samples.dtype.newbyteorder(">"))
    return magic + f"\n{width} {height}\n{highest}\n".encode() + big.tobytes()


def plain_pnm(samples, highest):
    height, width, channels = samples.shape
    magic = {1: "P2", 3: "P3"}[channels]
    numbers = " ".join(map(str, samples.ravel()))
    return f"{magic}\n{width} {height}\n{highest}\n{numbers}\n".encode()


def tiff(samples):
    """A TIFF of one strip, without compression."""
    height, width, channels = samples.shape
    little = samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    bits, kinds = 8 * samples.itemsize, {"u": 1, "f": 3}
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, bits) if channels == 1 else (258, 3, channels, None),
        (259, 3, 1, 1),
        (262, 3, 1, 2 if channels >= 3 else 1),
        (273, 4, 1, None),
        (277, 3, 1, channels),
        (278, 4, 1, height),
        (279, 4, 1, len(little)),
        (339, 3, 1, kinds[samples.dtype.kind]),
    ]
    if channels == 4:
        tags.insert(9, (338, 3, 1, 2))
    after = 8 + 2 + 12 * len(tags) + 4
    values = {258: after, 273: after + 2 * channels}
    entries = b"".join(
        struct.pack("<HHII", tag, kind, count, values[tag] if value is None else value)
        for tag, kind, count, value in tags
    )
    listed = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return (
        b"II*\0"
        + struct.pack("<I", 8)
        + listed
        + struct.pack(f"<{channels}H", *[bits] * channels)
        + little
    )


DARK = np.full((6, 10, 4), 200, np.uint16)
"""Of 65535, as what a camera of twelve bits has left dark."""
DEEP = {
    "grey.png": png(DARK[..., :1], 0),
    "rgb.png": png(DARK[..., :3], 2),
    "grey_alpha.png": png(DARK[..., :2], 4),
    "rgba.png": png(DARK, 6),
    "grey.pgm": pnm(DARK[..., :1], 65535),
    "rgb.ppm": pnm(DARK[..., :3], 65535),
    "ten_bits.ppm": pnm(DARK[..., :3], 1023),
    "nine_bits.pgm": pnm(DARK[..., :1], 511),
    "plain.ppm": plain_pnm(DARK[..., :3], 4095),
    "plain.pgm": plain_pnm(DARK[..., :1], 65535),
    "grey.tiff": tiff(DARK[..., :1]),
    "rgb.tiff": tiff(DARK[..., :3]),
    "rgba.tiff": tiff(DARK),
    "float.tiff": tiff(DARK[..., :1].astype(np.float32)),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", DEEP)
def test_more_than_eight_bits_are_refused_whatever_the_format(tmp_path, name, channels):
    with Image.open(io.BytesIO(DEEP[name])) as image:
        assert image.size == (10, 6)  # a file that Pillow reads
        image.load()
    with pytest.raises(DataError, match=r"a\.img: cannot be read: more than eight bits a sample"):
        decoded(tmp_path, DEEP[name], channels=channels)


def test_eight_bits_and_fewer_are_read_whatever_the_format(tmp_path):
    files = [png(PIXELS, 2), pnm(PIXELS, 255), plain_pnm(PIXELS, 255), tiff(PIXELS)]
    for kind in ("BMP", "TIFF", "PNG", "PPM"):
        stream = io.BytesIO()
        Image.fromarray(PIXELS).save(stream, kind)
        files.append(stream.getvalue())
    for compression in ("tiff_lzw", "tiff_deflate"):
        stream = io.BytesIO()
        Image.fromarray(PIXELS).save(stream, "TIFF", compression=compression)
        files.append(stream.getvalue())
    for data in files:
        np.testing.assert_array_equal(decoded(tmp_path, data), PIXELS)
    four_bits = PIXELS % 16
    np.testing.assert_array_equal(decoded(tmp_path, pnm(four_bits, 15)), four_bits * 17)
    stream = io.BytesIO()
    Image.fromarray(PIXELS[..., 0] > 99).save(stream, "PNG")
    black_white = decoded(tmp_path, stream.getvalue(), channels=1)
    np.testing.assert_array_equal(black_white[..., 0], 255 * (PIXELS[..., 0] > 99))


TURNS = {
    1: PIXELS,
    2: PIXELS[:, ::-1],
    3: PIXELS[::-1, ::-1],
    4: PIXELS[::-1],
    5: PIXELS.transpose(1, 0, 2),
    6: PIXELS[::-1].transpose(1, 0, 2),
    7: PIXELS[::-1, ::-1].transpose(1, 0, 2),
    8: PIXELS[:, ::-1].transpose(1, 0, 2),
}
"""What viewers show, by the EXIF orientation."""


def tagged(orientation, kind, **options):
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(stream, kind, exif=exif, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
@pytest.mark.parametrize("orientation", TURNS)
def test_upright_as_viewers_show_it_turned_once(tmp_path, kind, options, orientation):
    data = tagged(orientation, kind, **options)
    expected = TURNS.get(orientation, PIXELS)
    np.testing.assert_array_equal(decoded(tmp_path, data), expected)
    grey = np.asarray(Image.fromarray(expected).convert("L"))
    np.testing.assert_array_equal(decoded(tmp_path, data, channels=1)[..., 0], grey)


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_an_orientation_that_is_none_turns_nothing(tmp_path, orientation):
    np.testing.assert_array_equal(decoded(tmp_path, tagged(orientation, "PNG")), PIXELS)


@pytest.mark.parametrize("orientation", TURNS)
def test_upright_jpeg(tmp_path, orientation):
    data = tagged(orientation, "JPEG", quality=100, subsampling=0)
    untagged = decoded(tmp_path, tagged(1, "JPEG", quality=100, subsampling=0))
    index = np.arange(untagged.size).reshape(untagged.shape)
    turned = {1: index, 6: index[::-1].transpose(1, 0, 2), 3: index[::-1, ::-1]}
    found = decoded(tmp_path, data)
    assert found.shape == TURNS[orientation].shape
    if orientation in turned:
        np.testing.assert_array_equal(found, untagged.ravel()[turned[orientation]])


def test_turned_before_the_central_square_is_cut(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(tagged(6, "PNG"))
    (pixels,) = read_images(Files(tmp_path, {"a.png": path}), ["a.png"], size=6)
    np.testing.assert_array_equal(pixels.transpose(1, 2, 0), TURNS[6][2:8])


def test_damaged_exif_turns_nothing(tmp_path):
    whole = tagged(6, "JPEG", quality=100)
    plain = io.BytesIO()
    Image.fromarray(PIXELS).save(plain, "JPEG", quality=100)
    expected = decoded(tmp_path, plain.getvalue())
    start = whole.index(b"Exif\0\0") + 6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's of corrupt EXIF data
        for junk in (b"XX", b"II", b"MM"):
            data = whole[:start] + junk + b"\xff" * 8 + whole[start + 10 :]
            assert decoded(tmp_path, data).shape in (expected.shape, TURNS[6].shape)
        np.testing.assert_array_equal(
            decoded(tmp_path, whole[:start] + b"XX" + whole[start + 2 :]), expected
        )
