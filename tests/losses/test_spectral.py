"""Losses of an augmentation graph against closed forms, loops over nodes, eigenvalues, and the sampled loss."""

from __future__ import annotations

import math

import pytest
import torch

from lab.losses import graph_info_nce, graph_spectral, info_nce, spectral_contrastive


def _graph(n: int = 7, seed: int = 0) -> torch.Tensor:
    raw = torch.rand(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    raw = raw + raw.T
    return raw / raw.sum()


def _rows(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_graph_info_nce_equals_a_loop_over_pairs() -> None:
    w, f, tau = _graph(), _rows(7, 3), 0.3
    unit = [row / math.sqrt(float(row @ row)) for row in f]
    mass = [sum(float(w[i, j]) for j in range(7)) for i in range(7)]
    expected = 0.0
    for i in range(7):
        for j in range(7):
            below = sum(mass[k] * math.exp(float(unit[i] @ unit[k]) / tau) for k in range(7))
            expected -= float(w[i, j]) * math.log(math.exp(float(unit[i] @ unit[j]) / tau) / below)
    assert graph_info_nce(f, w, temperature=tau).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("tau", [0.05, 0.5, 5.0])
def test_graph_info_nce_of_separate_communities_on_a_simplex(tau: float) -> None:
    communities, size = 4, 3
    block = torch.full((size, size), 1 / (communities * size**2), dtype=torch.float64)
    w = torch.block_diag(*[block] * communities)
    corners = torch.eye(communities, dtype=torch.float64) - 1 / communities
    f = corners.repeat_interleave(size, 0)
    other = -1 / (communities - 1)
    mean = (math.exp((1 - 1) / tau) + (communities - 1) * math.exp((other - 1) / tau)) / communities
    assert graph_info_nce(f, w, temperature=tau).item() == pytest.approx(math.log(mean), rel=1e-10)


def test_graph_info_nce_is_the_limit_of_the_batch_loss() -> None:
    # Positives with probability w_ij, all negatives drawn by mass: with M of them the batch loss tends to log M + ours.
    w, f, tau, many = _graph(), _rows(7, 3), 0.7, 40_000
    generator = torch.Generator().manual_seed(2)
    pairs = torch.multinomial(w.flatten(), many, replacement=True, generator=generator)
    pool = f[torch.multinomial(w.sum(1), 3000, replacement=True, generator=generator)]
    sampled = info_nce(f[pairs // 7], f[pairs % 7], pool, temperature=tau).item() - math.log(3001)
    assert sampled == pytest.approx(graph_info_nce(f, w, temperature=tau).item(), abs=0.02)


def test_graph_spectral_is_a_factorisation_up_to_its_constant() -> None:
    w, f = _graph(), _rows(7, 3)
    mass = w.sum(1)
    adjacency = w / (mass[:, None] * mass).sqrt()
    scaled = mass.sqrt()[:, None] * f
    expected = (adjacency - scaled @ scaled.T).square().sum() - adjacency.square().sum()
    torch.testing.assert_close(graph_spectral(f, w), expected)


def test_graph_spectral_reaches_minus_the_squared_eigenvalues() -> None:
    base = _rows(7, 7).abs()
    w = base @ base.T  # positive semidefinite, so the leading eigenvalues are the largest in size
    w = w / w.sum()
    mass = w.sum(1)
    values, vectors = torch.linalg.eigh(w / (mass[:, None] * mass).sqrt())
    best = vectors[:, -3:] * values[-3:].sqrt() / mass.sqrt()[:, None]
    assert graph_spectral(best, w).item() == pytest.approx(-values[-3:].square().sum().item(), rel=1e-10)
    for seed in range(3):
        assert graph_spectral(best + 0.05 * _rows(7, 3, seed=seed), w) > graph_spectral(best, w)


def test_spectral_contrastive_equals_a_loop_and_counts_no_own_pair() -> None:
    x, y = _rows(2, 5, 3)
    pull = sum(float(x[i] @ y[i]) for i in range(5)) / 5
    push = sum(float(x[i] @ y[j]) ** 2 for i in range(5) for j in range(5) if i != j) / 20
    assert spectral_contrastive(x, y).item() == pytest.approx(push - 2 * pull, rel=1e-12)


def test_spectral_contrastive_estimates_the_graph_without_bias() -> None:
    w, f = _graph(), 0.6 * _rows(7, 2)
    generator = torch.Generator().manual_seed(3)
    pairs = torch.multinomial(w.flatten(), 4 * 20_000, replacement=True, generator=generator).view(20_000, 4)
    sampled = spectral_contrastive(f[pairs // 7], f[pairs % 7])
    error = 5 * float(sampled.std()) / math.sqrt(len(sampled))
    assert sampled.mean().item() == pytest.approx(graph_spectral(f, w).item(), abs=error)


def test_a_single_batch_of_the_spectral_loss_has_no_floor() -> None:
    assert spectral_contrastive(10 * torch.eye(3), 10 * torch.eye(3)).item() == pytest.approx(-200)


def test_gradients() -> None:
    w, f = _graph(5), _rows(5, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: graph_info_nce(z, w, temperature=0.4), (f,))
    assert torch.autograd.gradcheck(lambda z: graph_spectral(z, w), (f,))
    assert torch.autograd.gradcheck(lambda z: spectral_contrastive(z, z.flip(0)), (f,))


def test_invariances() -> None:
    w, f = _graph(), _rows(7, 3)
    turn = torch.linalg.qr(_rows(3, 3, seed=5)).Q
    order = torch.randperm(7, generator=torch.Generator().manual_seed(6))
    for loss in (lambda z, g: graph_info_nce(z, g, temperature=0.2), graph_spectral):
        torch.testing.assert_close(loss(f @ turn, w), loss(f, w))
        torch.testing.assert_close(loss(f[order], w[order][:, order]), loss(f, w))
    lengths = torch.rand(7, 1, dtype=torch.float64) + 0.5
    torch.testing.assert_close(graph_info_nce(lengths * f, w, temperature=0.2), graph_info_nce(f, w, temperature=0.2))
    assert graph_spectral(2 * f, w) != graph_spectral(f, w)


def test_a_stack_gives_the_single_losses() -> None:
    f, graphs = _rows(3, 7, 2), torch.stack([_graph(seed=s) for s in range(3)])
    tau = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)
    single = torch.stack([graph_info_nce(a, g, temperature=float(t)) for a, g, t in zip(f, graphs, tau, strict=True)])
    torch.testing.assert_close(graph_info_nce(f, graphs, temperature=tau), single)
    torch.testing.assert_close(graph_spectral(f, graphs[0]), torch.stack([graph_spectral(a, graphs[0]) for a in f]))


def test_extreme_temperature_and_half_precision_stay_finite() -> None:
    w, f = _graph(), _rows(7, 3)
    assert torch.isfinite(graph_info_nce(f, w, temperature=1e-4))
    half = spectral_contrastive(300 * f.half(), 300 * f.half())
    assert torch.isfinite(half) and half.dtype == torch.float32


@pytest.mark.parametrize(
    ("weights", "word"),
    [
        (_graph()[:, :5], "square"),
        (2 * _graph(), "sum to 1"),
        (-_graph(), "negative"),
        (torch.triu(torch.ones(7, 7)) / 28, "symmetric"),
        (torch.block_diag(_graph(6), torch.zeros(1, 1)), "node 6"),
        (_graph(6), "one row an embedding"),
    ],
)
def test_no_graph_is_refused(weights: torch.Tensor, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        graph_spectral(_rows(7, 2), weights)


def test_bad_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="zero row"):
        graph_info_nce(torch.zeros(7, 2), _graph(), temperature=1.0)
    with pytest.raises(ValueError, match="temperature"):
        graph_info_nce(_rows(7, 2), _graph(), temperature=0.0)
    with pytest.raises(ValueError, match="view1 and view2"):
        spectral_contrastive(_rows(4, 2), _rows(5, 2))
    with pytest.raises(ValueError, match="at least 2"):
        spectral_contrastive(_rows(1, 2), _rows(1, 2))
