"""Gated contrast against a loop, a subspace taken by hand, plain InfoNCE and closed forms."""

import math

import pytest
import torch

from lab.losses import gated_info_nce, info_nce

BARE = [[0.0, 1.0], [1.0, 1.0]]


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gates(*shape: int, seed: int = 2) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def looped(x, y, g, tau, rivals) -> float:
    total = 0.0
    for i in range(len(x)):

        def term(j, i=i):
            a = [float(g[i, k] * x[i, k]) for k in range(x.shape[1])]
            b = [float(g[i, k] * y[j, k]) for k in range(x.shape[1])]
            dot = sum(p * q for p, q in zip(a, b, strict=True))
            return math.exp(dot / math.hypot(*a) / math.hypot(*b) / tau)

        total -= math.log(term(i) / (term(i) + sum(term(j) for j in range(len(x)) if j != i and rivals[i][j])))
    return total / len(x)


def test_is_the_formula_written_as_a_loop() -> None:
    x, y, g = rows(6, 4), rows(6, 4, seed=1), gates(6, 4)
    some = gates(6, 6, seed=3) < 0.6
    every = torch.ones(6, 6, dtype=torch.bool)
    assert gated_info_nce(x, y, g, temperature=0.3).item() == pytest.approx(looped(x, y, g, 0.3, every), rel=1e-12)
    value = gated_info_nce(x, y, g, temperature=0.3, rivals=some).item()
    assert value == pytest.approx(looped(x, y, g, 0.3, some), rel=1e-12)
    assert value != pytest.approx(looped(x, y, g, 0.3, every), rel=1e-3)


def test_open_gates_of_any_height_are_info_nce() -> None:
    x, y = rows(7, 5).float(), rows(7, 5, seed=1).float()
    expected = info_nce(x, y, temperature=0.1).item()
    for height in (1e-30, 1.0, 1e30):  # squares of the outer two are 0 and infinite in float32
        assert gated_info_nce(x, y, torch.full_like(x, height), temperature=0.1).item() == pytest.approx(
            expected, rel=1e-4
        )


def test_shut_gates_leave_a_subspace() -> None:
    x, y = rows(7, 5), rows(7, 5, seed=1)
    shut = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0]).double().expand(7, 5)
    expected = info_nce(x[:, [0, 2]], y[:, [0, 2]], temperature=0.1).item()
    assert gated_info_nce(x, y, shut, temperature=0.1).item() == pytest.approx(expected, rel=1e-12)


def test_equal_rows_cost_the_logarithm_of_their_number() -> None:
    same = torch.ones(8, 3, dtype=torch.float64)
    assert gated_info_nce(same, same, 0.1 + gates(8, 3), temperature=0.01).item() == pytest.approx(math.log(8))


def test_a_stack_is_its_members_and_temperatures() -> None:
    x, y, g, tau = rows(3, 6, 4), rows(3, 6, 4, seed=1), gates(3, 6, 4), torch.tensor([0.1, 0.3, 1.0]).double()
    some = gates(3, 6, 6, seed=5) < 0.6
    single = [gated_info_nce(x[i], y[i], g[i], temperature=float(tau[i]), rivals=some[i]).item() for i in range(3)]
    assert gated_info_nce(x, y, g, temperature=tau, rivals=some).tolist() == pytest.approx(single, rel=1e-12)


def test_gradients_are_those_of_finite_differences() -> None:
    made = [part.requires_grad_() for part in (rows(4, 3), rows(4, 3, seed=1), 0.1 + gates(4, 3))]
    assert torch.autograd.gradcheck(lambda x, y, g: gated_info_nce(x, y, g, temperature=0.5), made)


def test_an_anchor_without_rival_counts_as_nothing() -> None:
    x, y, g = rows(2, 3), rows(2, 3, seed=1), gates(2, 3)
    one = torch.tensor([[False, True], [False, False]])
    both = torch.tensor([[False, True], [True, False]])
    first, second = (looped(x[[i, 1 - i]], y[[i, 1 - i]], g[[i, 1 - i]], 0.2, one.tolist()) for i in (0, 1))
    assert gated_info_nce(x, y, g, temperature=0.2, rivals=one).item() == pytest.approx(first, rel=1e-12)
    assert gated_info_nce(x, y, g, temperature=0.2, rivals=both).item() == pytest.approx(first + second, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"gates": torch.tensor([[1.0, 1.0], [1.0, -0.1]])}, "gates"),
        ({"gates": torch.tensor([[1.0, 1.0], [0.0, 0.0]])}, "gates"),
        ({"gates": torch.ones(3, 2)}, "gates"),
        ({"anchors": torch.tensor(BARE), "gates": torch.tensor([[1.0, 0.0], [1.0, 1.0]])}, "anchors"),
        ({"positives": torch.tensor(BARE), "gates": torch.tensor([[1.0, 1.0], [1.0, 0.0]])}, "positives"),
        ({"rivals": torch.eye(2, dtype=torch.bool)}, "rivals"),
        ({"rivals": torch.ones(2, 2)}, "rivals"),
        ({"rivals": torch.ones(3, 3, dtype=torch.bool)}, "rivals"),
        ({"temperature": 0.0}, "temperature"),
    ],
)  # fmt: skip
def test_bad_input_is_named(change, word) -> None:
    good = {"anchors": torch.ones(2, 2), "positives": torch.ones(2, 2), "gates": torch.ones(2, 2), "temperature": 0.1}
    with pytest.raises(ValueError, match=word):
        gated_info_nce(**(good | change))
