"""Fashion-MNIST: shapes, balance, range, pooling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lab.datasets import fashion


def raw():
    from lab.datasets import manifest

    with np.load(manifest.path("fashion/images.npz")) as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize("size", [28, 14, 7])
def test_shapes_types_range_and_balance(size):
    data = fashion(size=size)
    assert data.train_images.shape == (10_000, 1, size, size)
    assert data.test_images.shape == (2_000, 1, size, size)
    for images in (data.train_images, data.test_images):
        assert images.dtype == torch.float32
        assert images.min() == 0
        assert 0.9 < images.max() <= 1
    assert data.train_labels.dtype == data.test_labels.dtype == torch.int64
    assert data.train_labels.bincount().tolist() == [1000] * 10
    assert data.test_labels.bincount().tolist() == [200] * 10
    assert len(data.class_names) == 10


def test_pixels_are_the_bytes_over_255():
    images, stored = fashion().train_images[:50, 0].numpy(), raw()["train_images"][:50]
    np.testing.assert_allclose(images, stored / 255, atol=1e-7)


@pytest.mark.parametrize("size", [14, 7])
def test_smaller_sizes_are_means_of_squares(size):
    stored, side = raw()["test_images"][:20] / 255, 28 // size
    pooled = fashion(size=size).test_images[:20, 0].numpy()
    for row in range(size):
        for column in range(size):
            square = stored[:, side * row : side * row + side, side * column : side * column + side]
            np.testing.assert_allclose(pooled[:, row, column], square.mean(axis=(1, 2)), atol=1e-6)


def test_training_and_test_images_differ():
    stored = raw()
    train = {image.tobytes() for image in stored["train_images"]}
    assert not any(image.tobytes() in train for image in stored["test_images"])


def test_classes_are_what_their_names_say():
    """Trousers are narrow, bags wide, boots taller than sandals: labels and images belong together."""
    data = fashion()
    mean = {name: data.train_images[data.train_labels == i].mean((0, 1)) for i, name in enumerate(data.class_names)}
    assert mean["Trouser"][:, :6].max() < 0.1 < mean["Bag"][14:, :6].max()
    assert mean["Ankle boot"][4:10].mean() > 2 * mean["Sandal"][4:10].mean()


@pytest.mark.parametrize("size", [0, 27, 56, 14.5, "28", None, True])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match="size: expected 28, 14 or 7"):
        fashion(size=size)


def test_each_call_gives_its_own_tensors():
    first = fashion(size=7)
    first.train_images.zero_()
    assert fashion(size=7).train_images.sum() > 0
