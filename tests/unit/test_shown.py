"""What is kept of defended images, for pages to show."""

import numpy as np
import torch

from advsparse.defenses._defended import Beside, InFront
from advsparse.evaluate.samples import SHOWN
from advsparse.evaluate.shown import predicted_and_defended
from advsparse.models._io import choices

IMAGES = np.linspace(0, 1, 8 * 3 * 2 * 2, dtype=np.float32).reshape(8, 3, 2, 2)


def network():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))


def halved(x):
    return x / 2


def defended(model, images):
    """What is kept; what is predicted on the way is what the classifier says."""
    predicted, kept = predicted_and_defended(model, images)
    np.testing.assert_array_equal(predicted, choices(model, torch.from_numpy(images)).numpy())
    return kept


def test_the_first_images_as_the_transformation_leaves_them():
    kept = defended(InFront(network(), halved), IMAGES)
    assert kept.dtype == np.uint8
    np.testing.assert_array_equal(kept, np.round(255 * (IMAGES[:SHOWN] / 2)))


def test_also_where_a_detector_stands_beside_it():
    one = torch.tensor(1.0)
    watched = Beside(InFront(network(), halved), lambda x: x[:, 0, 0, 0], threshold=one, spread=one)
    np.testing.assert_array_equal(
        defended(watched, IMAGES), defended(InFront(network(), halved), IMAGES)
    )


def test_nothing_without_a_transformation_or_of_what_is_no_image():
    assert defended(network(), IMAGES) is None
    doubled = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(24, 2))
    assert defended(InFront(doubled, lambda x: torch.cat([x, x], 1)), IMAGES) is None


def test_of_an_ensemble_the_first_draw_and_each_image_is_transformed_once_for_each():
    seen = []

    def scaled(x, rng):
        seen.append(len(x))
        return x * rng.uniform_block(x, (1, 1, 1))

    model = InFront(network(), scaled, stochastic=True, ensemble=3, seed=1)
    _, kept = predicted_and_defended(model, IMAGES)
    assert seen == [8, 8, 8]
    first = model.transform(torch.from_numpy(IMAGES)).numpy()
    np.testing.assert_array_equal(kept, np.round(255 * first[:SHOWN]))


def test_a_transformation_may_ask_the_network_itself():
    asked = network()
    assert defended(InFront(asked, lambda x: x / 2 + 0 * asked(x[:1]).sum()), IMAGES).shape[0] == 6
