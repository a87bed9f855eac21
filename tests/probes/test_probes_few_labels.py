"""Errors from few labels and labels needed, against worlds whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch

from lab.probes import few_label_error, labels_needed


def test_one_label_of_a_class_with_two_kinds_loses_the_other_kind() -> None:
    x = torch.eye(3).repeat_interleave(10, 0)
    x[:10, 2] = x[10:20, 2] = 0.2  # class 0 lies on two axes, which both lean towards class 1 and not to each other
    x[:10, 1] = -0.1
    y = torch.tensor([0] * 20 + [1] * 10)
    for seed in range(5):
        assert few_label_error(x, y, x, y, per_class=1, seed=seed, draws=3) == pytest.approx(1 / 3)
    assert few_label_error(x, y, x, y, per_class=10, seed=0, draws=4) < 0.05


def test_only_the_labelled_rows_are_seen() -> None:
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    y = torch.arange(40) % 2
    error = few_label_error(x, y, x, y, per_class=20, seed=0, draws=1)
    assert error == 0  # all rows are labelled, and each is its own nearest neighbour
    assert few_label_error(x, y, x, y, per_class=2, seed=0) > 0.2


def test_ridge_needs_no_more_than_the_direction() -> None:
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(200) % 2
    x = torch.randn(200, 3, generator=generator) * 0.05 + (2 * y[:, None] - 1) * torch.tensor([1.0, 0.0, 0.0])
    assert few_label_error(x, y, x, y, per_class=5, seed=0, method="ridge") < 0.02


def test_same_seed_same_answer() -> None:
    x = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    y = torch.arange(60) % 3
    one, again, other = (few_label_error(x, y, x, y, per_class=3, seed=s, draws=2) for s in (4, 4, 5))
    assert one == again != other


def test_labels_needed_interpolates_on_the_logarithm() -> None:
    assert labels_needed([1, 4, 16], [0.9, 0.5, 0.1], 0.3) == pytest.approx(8)
    assert labels_needed([1, 4, 16], [0.9, 0.5, 0.1], 0.8) == pytest.approx(math.sqrt(2))
    assert labels_needed([1, 4], [0.2, 0.1], 0.3) == 1
    assert labels_needed([1, 4], [0.9, 0.8], 0.3) == 4
    assert labels_needed([1, 2, 4, 8], [0.5, 0.3, 0.5, 0.3], 0.3) == pytest.approx(2)  # the first time


def test_bad_input() -> None:
    x, y = torch.rand(6, 2), torch.tensor([0, 0, 0, 0, 1, 1])
    with pytest.raises(ValueError, match="per_class must lie in 1 .. 2"):
        few_label_error(x, y, x, y, per_class=3, seed=0)
    with pytest.raises(ValueError, match="method"):
        few_label_error(x, y, x, y, per_class=1, seed=0, method="svm")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="draws"):
        few_label_error(x, y, x, y, per_class=1, seed=0, draws=0)
    with pytest.raises(ValueError, match="rising"):
        labels_needed([2, 1], [0.5, 0.4], 0.3)
    with pytest.raises(ValueError, match="one length"):
        labels_needed([1, 2], [0.5], 0.3)
    with pytest.raises(ValueError, match="finite"):
        labels_needed([1], [math.nan], 0.3)
