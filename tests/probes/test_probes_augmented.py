"""Augmented distances against a loop over views, and what a choice of views can and cannot do."""

from __future__ import annotations

import pytest
import torch

from lab.probes import augmented_distances, concentration


def _views(n: int, m: int, d: int = 3) -> torch.Tensor:
    return torch.randn(n, m, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("n", [3, 70])  # within a block of items and across blocks
def test_equals_a_loop_over_views(n: int) -> None:
    views = _views(n, 2)
    found = augmented_distances(views)
    for i in range(0, n, 7):
        for j in range(n):
            least = min(float((u - v).norm()) for u in views[i] for v in views[j])
            assert float(found[i, j]) == pytest.approx(0 if i == j else least, abs=1e-7)


def test_more_views_never_drive_items_apart() -> None:
    views = _views(6, 9)
    assert (augmented_distances(views) <= augmented_distances(views[:, :4]) + 1e-9).all()


def test_concentration_looks_at_pairs_of_one_class_once_each() -> None:
    points = torch.tensor([0.0, 1.0, 3.0, 100.0, 107.0], dtype=torch.float64)
    views = points[:, None, None].expand(5, 2, 1)
    found = concentration(views, [0, 0, 0, 1, 1], share=0.5)  # distances 1, 2, 3 and 7: median 2.5
    assert found.augmented == pytest.approx(2.5) and found.single == pytest.approx(2.5)


def test_single_distance_knows_no_choice() -> None:
    views = torch.tensor([[[0.0], [50.0]], [[60.0], [7.0]]])
    assert concentration(views, [0, 0]) == pytest.approx((7.0, 7.0))
    assert concentration(views.flip(0), [0, 0]) == pytest.approx((7.0, 10.0))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="M >= 2"):
        concentration(_views(3, 1), [0, 0, 1])
    with pytest.raises(ValueError, match="two items of one class"):
        concentration(_views(3, 2), [0, 1, 2])
    with pytest.raises(ValueError, match="share"):
        concentration(_views(3, 2), [0, 0, 1], share=1.0)
    with pytest.raises(ValueError, match="views"):
        augmented_distances(torch.rand(3, 4))
