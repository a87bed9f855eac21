"""The latent-class loss, the mean classifier and the bound between them, against loops and on whole finite worlds."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from lab.losses import collision_bound, logistic_contrast, mean_classifier_loss


def _rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_logistic_contrast_equals_a_loop() -> None:
    a, p, n = _rows(3, 6, 4)
    terms = [math.log2(1 + math.exp(-float(a[i] @ p[i]) + float(a[i] @ n[i]))) for i in range(6)]
    assert logistic_contrast(a, p, n).item() == pytest.approx(sum(terms) / 6, rel=1e-12)


def test_mean_classifier_loss_equals_a_loop_over_pairs_of_classes() -> None:
    x, means, labels = _rows(7, 3), _rows(3, 3, seed=1), [0, 0, 0, 0, 1, 1, 2]
    terms = []
    for c, k in itertools.permutations(range(3), 2):
        rows = [i for i in range(7) if labels[i] == c]
        margins = [float(x[i] @ (means[c] - means[k])) for i in rows]
        terms.append(sum(math.log2(1 + math.exp(-m)) for m in margins) / len(rows))
    assert mean_classifier_loss(x, torch.tensor(labels), means).item() == pytest.approx(sum(terms) / 6, rel=1e-12)


def _whole_world(x: torch.Tensor, labels: torch.Tensor, classes: int) -> tuple[float, float]:
    """Contrastive loss over all triples, each with its exact probability, and the loss of the classes' own means."""
    members = [x[labels == c] for c in range(classes)]
    total = 0.0
    for one, other in itertools.product(range(classes), repeat=2):
        a = members[one][:, None, None]
        p, n = members[one][None, :, None], members[other][None, None]
        grid = torch.broadcast_tensors(a, p, n)
        total += logistic_contrast(*(g.reshape(-1, x.shape[1]) for g in grid)).item() / classes**2
    means = torch.stack([m.mean(0) for m in members])
    return total, mean_classifier_loss(x, labels, means).item()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_bound_holds_on_every_finite_world(classes: int, seed: int) -> None:
    labels = torch.arange(classes).repeat_interleave(4)
    x = 2 * _rows(len(labels), 3, seed=seed) + 2 * _rows(classes, 3, seed=seed + 50)[labels]
    contrast, supervised = _whole_world(x, labels, classes)
    assert supervised <= collision_bound(contrast, 1 / classes)


def test_the_bound_is_tight_where_classes_are_points() -> None:
    labels = torch.arange(3).repeat_interleave(2)
    contrast, supervised = _whole_world(_rows(3, 2)[labels], labels, 3)
    assert collision_bound(contrast, 1 / 3) == pytest.approx(supervised, rel=1e-12)


def test_gradients_and_stack() -> None:
    a, p, n = _rows(3, 2, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: logistic_contrast(x, p.detach(), n.detach()), (a,))
    single = torch.stack([logistic_contrast(a[s], p[s], n[s]) for s in range(2)])
    torch.testing.assert_close(logistic_contrast(a, p, n), single)


def test_large_margins_stay_finite() -> None:
    a = torch.full((2, 3), 1e4)
    assert logistic_contrast(a, a, -a).item() == 0
    assert math.isfinite(logistic_contrast(a, -a, a).item())


def test_bad_input() -> None:
    x = _rows(4, 2)
    with pytest.raises(ValueError, match="negatives"):
        logistic_contrast(x, x, x[:3])
    with pytest.raises(ValueError, match="labels must hold each class"):
        mean_classifier_loss(x, torch.tensor([0, 0, 0, 0]), _rows(2, 2))
    with pytest.raises(ValueError, match="collision"):
        collision_bound(0.5, 1.0)
    with pytest.raises(ValueError, match="loss"):
        collision_bound(math.nan, 0.1)
