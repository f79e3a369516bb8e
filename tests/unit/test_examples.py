"""What networks are trained on: eight bits until a batch is taken, from memory or from a file."""

import threading

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as published

from advsparse.artifacts import Slices, make_metadata, write_slices
from advsparse.data._pixels import floats
from advsparse.errors import ArtifactError
from advsparse.models import _examples
from advsparse.models._augmentation import Augmentation
from advsparse.models._examples import Joined, LabelledImages, Stored, placed
from advsparse.models._training import Training, train_on
from advsparse.models.lenet import LeNet

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (30, 3, 28, 28), dtype=np.uint8)
LABELS = RNG.integers(0, 4, 30)
BOTH = Augmentation(crop=3, flip=True)


@pytest.fixture
def stored(tmp_path):
    made = make_metadata("dataset", params={}, code="", seed=0)
    write_slices(tmp_path / "d.safetensors", {"x": PIXELS, "y": LABELS}, made)
    return tmp_path / "d.safetensors"


def epoch(source, seed=3, **settings):
    generator = torch.Generator().manual_seed(seed)
    return list(source.batches(Training(**{"batch_size": 8} | settings), generator))


def in_memory(**options):
    return LabelledImages(torch.from_numpy(PIXELS), torch.from_numpy(LABELS), **options)


class Half:
    """Fifteen rows of others, read where they are."""

    def __init__(self, rows, start):
        self.rows, self.start = rows, start

    def __len__(self):
        return 15

    def __getitem__(self, index):
        return self.rows[self.start + index]


# Where examples lie.


@pytest.mark.parametrize("settings", [{}, {"examples": 13}, {"augmentation": BOTH}])
def test_batches_are_the_same_from_memory_from_a_file_and_from_floats(stored, settings):
    found = Slices(stored)
    x = floats(torch.from_numpy(PIXELS))
    sources = [in_memory(), LabelledImages(found["x"], found["y"])]
    sources += [LabelledImages(found["x"], torch.from_numpy(LABELS))]
    sources += [LabelledImages(x, torch.from_numpy(LABELS))]
    for parts in ((x[:11], found["x"][11:][:]), (found["x"][:1], x[1:4], PIXELS[4:])):
        columns = [part if isinstance(part, torch.Tensor) else placed(part) for part in parts]
        sources += [LabelledImages(Joined(*columns), torch.from_numpy(LABELS))]
    rows = Joined(Half(found["x"], 0), Half(found["x"], 15))
    sources += [LabelledImages(rows, torch.from_numpy(LABELS))]
    first, *others = (epoch(source, **settings) for source in sources)
    for other in others:
        for ours, theirs in zip(first, other, strict=True):
            assert all(map(torch.equal, ours, theirs))
    assert all(batch.dtype == torch.float32 and labels.dtype == torch.int64
               for batch, labels in first)  # fmt: skip


def test_columns_are_placed_in_memory_if_they_fit(stored, monkeypatch):
    x = Slices(stored)["x"]
    monkeypatch.setattr(_examples, "IN_MEMORY", PIXELS.nbytes)
    assert torch.equal(placed(x), torch.from_numpy(PIXELS)) and placed(x).dtype == torch.uint8
    monkeypatch.setattr(_examples, "IN_MEMORY", PIXELS.nbytes - 1)
    assert placed(x) is x


def test_training_from_a_file_ends_in_the_same_weights(stored):
    found = Slices(stored)

    def trained(source):
        model = LeNet().build((3, 28, 28), 4, seed=1)
        train_on(source, Training(epochs=2, batch_size=8, augmentation=BOTH), model, seed=0)
        return model.state_dict()

    ours, theirs = trained(in_memory()), trained(LabelledImages(found["x"], found["y"]))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_batches_are_read_ahead_by_a_thread_and_in_order(stored):
    readers = []

    class Watched:
        def __init__(self, rows):
            self.rows, self.shape, self.dtype = rows, rows.shape, rows.dtype

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, index):
            readers.append(threading.current_thread())
            return self.rows[index]

    source = LabelledImages(Watched(Slices(stored)["x"]), torch.from_numpy(LABELS))
    batches = source.batches(Training(batch_size=8), torch.Generator().manual_seed(3))
    next(batches)
    assert threading.current_thread() not in readers
    batches.close()
    readers[-1].join(timeout=30)
    assert not readers[-1].is_alive() and len(readers) <= 1 + _examples._AHEAD


def test_an_error_of_the_thread_that_reads_is_raised_where_the_batch_is_due(stored):
    data = bytearray(stored.read_bytes())
    data[bytes(data).index(PIXELS.tobytes())] ^= 1
    stored.write_bytes(data)
    with pytest.raises(ArtifactError, match="does not match the digest"):
        epoch(LabelledImages(Slices(stored)["x"], torch.from_numpy(LABELS)))


@pytest.mark.parametrize(("size", "count"), [(30, 1), (29, 2), (15, 2), (1, 30)])
def test_few_batches_are_read_ahead_as_many_are(stored, size, count):
    x = Slices(stored)["x"]
    assert len(epoch(LabelledImages(x, torch.from_numpy(LABELS)), batch_size=size)) == count


def test_numbers_of_four_bytes_take_four_times_the_memory(monkeypatch):
    rows = np.zeros((4, 3), dtype=np.float32)
    monkeypatch.setattr(_examples, "IN_MEMORY", 48)
    assert torch.equal(placed(rows), torch.zeros(4, 3))
    monkeypatch.setattr(_examples, "IN_MEMORY", 47)
    assert placed(rows) is rows


def test_rows_come_to_the_processor_unless_told_otherwise():
    class Numbers(Stored):
        def loss(self, model, x):
            return model(x).sum(), None

    (rows,) = Numbers(LABELS).rows(torch.tensor([2, 0]))
    assert rows.device.type == "cpu" and rows.tolist() == [LABELS[2], LABELS[0]]


def test_an_epoch_has_as_many_examples_as_are_there_or_asked_for():
    source = LabelledImages(torch.arange(10))
    assert source.size(Training()) == 10
    assert source.size(Training(examples=7)) == 7 and source.size(Training(examples=11)) == 10


# Augmentation.


def test_images_are_moved_and_mirrored_as_torchvision_does():
    x = torch.from_numpy(PIXELS[:6, :, :20])
    moves = torch.tensor([[0, 0, 0], [3, 3, 1], [6, 1, 0], [2, 6, 1], [3, 3, 0], [0, 0, 1]])
    found = BOTH.apply(x, moves)
    for image, (down, along, mirrored), ours in zip(x, moves.tolist(), found, strict=True):
        theirs = published.crop(published.pad(image, [3]), down, along, 20, 28)
        assert torch.equal(ours, published.hflip(theirs) if mirrored else theirs)
    assert torch.equal(found[4], x[4]) and torch.equal(found[1], x[1].flip(2))


def test_moves_are_even_over_all_places_and_half_are_mirrored():
    moves = BOTH.moves(40_000, torch.Generator().manual_seed(0))
    for column in (0, 1):
        counts = moves[:, column].bincount(minlength=7)
        assert len(counts) == 7 and ((counts / 40_000 - 1 / 7).abs() < 0.01).all()
    assert abs(float(moves[:, 2].float().mean()) - 0.5) < 0.01
    assert abs(float(torch.corrcoef(moves.T.float())[0, 1])) < 0.02


@pytest.mark.parametrize(
    ("augmentation", "still"),
    [(Augmentation(), [0, 1, 2]), (Augmentation(crop=2), [2]), (Augmentation(flip=True), [0, 1])],
)
def test_what_is_not_asked_for_is_not_done(augmentation, still):
    moves = augmentation.moves(200, torch.Generator().manual_seed(0))
    for column in range(3):
        assert (len(moves[:, column].unique()) == 1) == (column in still)
    if len(still) == 3:
        x = torch.from_numpy(PIXELS)
        assert torch.equal(augmentation.apply(x, moves[:30]), x)


def test_what_is_done_to_an_image_follows_it_through_any_batch_size():
    def by_label(**settings):
        source = LabelledImages(torch.from_numpy(PIXELS), torch.arange(30))
        pairs = epoch(source, augmentation=BOTH, **settings)
        x, y = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        return {int(label): image for image, label in zip(x, y, strict=True)}

    whole, small, some = by_label(), by_label(batch_size=1), by_label(examples=12)
    assert all(torch.equal(image, small[label]) for label, image in whole.items())
    assert len(some) == 12 and all(torch.equal(image, whole[k]) for k, image in some.items())
    plain = {k: floats(torch.from_numpy(PIXELS[k])) for k in range(30)}
    assert sum(not torch.equal(whole[k], plain[k]) for k in range(30)) > 20


def test_each_epoch_moves_an_image_in_another_way():
    seen = []

    class Watching(LabelledImages):
        def loss(self, model, x, y):
            seen.append(x[y.argsort()])
            return 0 * model.weight.sum() + 1, None

    source = Watching(torch.from_numpy(PIXELS), torch.arange(30))
    training = Training(epochs=2, batch_size=30, augmentation=BOTH)
    train_on(source, training, torch.nn.Linear(1, 1), seed=0)
    assert not torch.equal(*seen)


def test_the_order_of_an_epoch_does_not_depend_on_augmentation():
    orders = [
        torch.cat([labels for _, labels in epoch(in_memory(), augmentation=chosen)])
        for chosen in (None, BOTH)
    ]
    assert torch.equal(*orders)


# The loss.


def test_label_smoothing_spreads_a_share_evenly():
    logits = torch.tensor([[1.0, 2.0, 0.5], [2.0, -1.0, 0.0]])
    x, y = torch.zeros(2, 1), torch.tensor([1, 0])
    loss, _ = LabelledImages(smoothing=0.3).loss(lambda x: logits, x, y)
    wanted = torch.full((2, 3), 0.1)
    wanted[[0, 1], y] += 0.7
    assert float(loss) == pytest.approx(float(-(wanted * logits.log_softmax(1)).sum()), rel=1e-6)


def test_a_network_with_a_loss_of_its_own_is_told_of_the_smoothing():
    class Own(torch.nn.Module):
        def loss(self, x, y, smoothing):
            return torch.tensor(smoothing), torch.zeros(len(y), 2)

    loss, correct = LabelledImages(smoothing=0.25).loss(Own(), torch.zeros(3, 1), torch.zeros(3))
    assert float(loss) == 0.25 and int(correct) == 3
