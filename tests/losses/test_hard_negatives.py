"""The hard contrastive loss against its closed form, an independent loop, and InfoNCE at share 1."""

import math

import pytest
import torch

from lab.losses import hard_contrastive, info_nce


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loop(a: torch.Tensor, p: torch.Tensor, tau: float, k: int) -> float:
    """The formula anchor by anchor, with sorted lists."""
    total = 0.0
    for i in range(len(a)):
        cosines = [float(a[i] @ p[j] / a[i].norm() / p[j].norm()) for j in range(len(p))]
        nearest = sorted((c for j, c in enumerate(cosines) if j != i), reverse=True)[:k]
        denominator = math.exp(cosines[i] / tau) + sum(math.exp(c / tau) for c in nearest)
        total += math.log(denominator) - cosines[i] / tau
    return total / len(a)


@pytest.mark.parametrize(("share", "k"), [(0.1, 1), (0.25, 3), (1 / 3, 3), (0.34, 4), (0.5, 5), (1.0, 9)])
@pytest.mark.parametrize("tau", [0.05, 0.5, 3.0])
def test_equals_a_loop_over_anchors(share: float, k: int, tau: float) -> None:
    a, p = rows(10, 4), rows(10, 4, seed=1)
    assert hard_contrastive(a, p, temperature=tau, share=share).item() == pytest.approx(loop(a, p, tau, k), rel=1e-12)


@pytest.mark.parametrize(("share", "k"), [(0.1, 13), (1.0, 127)])
@pytest.mark.parametrize("tau", [0.01, 1.0, 100.0])
def test_equal_rows_give_the_log_of_the_candidates(share: float, k: int, tau: float) -> None:
    same = torch.ones(128, 3, dtype=torch.float64)
    value = hard_contrastive(same, same, temperature=tau, share=share).item()
    assert value == pytest.approx(math.log(1 + k), rel=1e-6)


def test_share_one_is_info_nce_and_less_is_never_more() -> None:
    a, p = rows(20, 5), rows(20, 5, seed=1)
    whole = info_nce(a, p, temperature=0.2)
    assert hard_contrastive(a, p, temperature=0.2, share=1).item() == pytest.approx(whole.item(), rel=1e-12)
    values = [hard_contrastive(a, p, temperature=0.2, share=s).item() for s in (0.05, 0.2, 0.5, 1)]
    assert values == sorted(values) and values[0] < values[-1]


def test_only_the_hardest_negatives_get_a_gradient() -> None:
    angle = torch.tensor([0.0, 0.5, 2.5], dtype=torch.float64)  # rows 0 and 1 are near each other, row 2 is far
    p = torch.stack([angle.cos(), angle.sin()], 1).requires_grad_()
    anchors = torch.stack([(angle + 0.1).cos(), (angle + 0.1).sin()], 1)
    hard_contrastive(anchors[:2], p[:2], temperature=1.0, share=1).backward()
    among_two, p.grad = p.grad[:2].clone(), None
    hard_contrastive(anchors, p, temperature=1.0, share=0.5).backward()  # one of the two negatives is kept
    # Row 2 is nobody's hardest negative, so row 0, which is not the hardest for anchor 2, feels the other two alone.
    assert torch.allclose(p.grad[0] * 3, among_two[0] * 2, atol=1e-12)
    assert not torch.allclose(p.grad[1] * 3, among_two[1] * 2, atol=1e-3)


def test_a_stack_is_its_members_with_a_temperature_each() -> None:
    a, p, tau = rows(3, 12, 4), rows(3, 12, 4, seed=1), torch.tensor([0.05, 0.5, 2.0], dtype=torch.float64)
    stacked = hard_contrastive(a, p, temperature=tau, share=0.3)
    single = [hard_contrastive(a[i], p[i], temperature=float(tau[i]), share=0.3).item() for i in range(3)]
    assert stacked.tolist() == pytest.approx(single, rel=1e-12)


def test_gradient_rotation_scale_and_permutation() -> None:
    a, p = rows(7, 3).requires_grad_(), rows(7, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: hard_contrastive(x, y, temperature=0.3, share=0.4), (a, p))
    value = hard_contrastive(a, p, temperature=0.3, share=0.4).item()
    turn = torch.linalg.qr(rows(3, 3, seed=2)).Q
    order = torch.randperm(7, generator=torch.Generator().manual_seed(3))
    for x, y in ((a @ turn, p @ turn), (a * 7, p / 3), (a[order], p[order])):
        assert hard_contrastive(x, y, temperature=0.3, share=0.4).item() == pytest.approx(value, rel=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("tau", [1e-3, 1e3])
def test_extreme_temperatures_and_half_precision_stay_finite(dtype: torch.dtype, tau: float) -> None:
    a, p = rows(16, 4).to(dtype).requires_grad_(), rows(16, 4, seed=1).to(dtype)
    loss = hard_contrastive(a, p, temperature=tau, share=0.2)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(a.grad).all()


@pytest.mark.parametrize("share", [0, -0.1, 1.01, True, "half", math.nan])
def test_refuses_a_share_outside_its_range(share: object) -> None:
    with pytest.raises(ValueError, match="share"):
        hard_contrastive(rows(4, 2), rows(4, 2), temperature=0.1, share=share)  # type: ignore[arg-type]


def test_refuses_other_bad_input() -> None:
    with pytest.raises(ValueError, match="anchors and positives"):
        hard_contrastive(rows(4, 2), rows(5, 2), temperature=0.1, share=0.5)
    with pytest.raises(ValueError, match="at least 2"):
        hard_contrastive(rows(1, 2), rows(1, 2), temperature=0.1, share=0.5)
    with pytest.raises(ValueError, match="temperature"):
        hard_contrastive(rows(4, 2), rows(4, 2), temperature=0.0, share=0.5)
    with pytest.raises(ValueError, match="zero row"):
        hard_contrastive(torch.zeros(4, 2), rows(4, 2).float(), temperature=0.1, share=0.5)
