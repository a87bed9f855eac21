"""Multi-view losses against closed forms, loops written from the formulas, and what must not matter."""

import functools
import itertools
import math

import pytest
import torch

from lab.losses import symmetric_info_nce
from lab.losses.multiview import mv_dhel, mv_dhel_parts, mv_info_nce, pairwise_info_nce

LOSSES = [pairwise_info_nce, mv_info_nce, functools.partial(mv_info_nce, own_view=True), mv_dhel]
NAMES = ["pairwise", "mv_info_nce", "mv_info_nce own view", "mv_dhel"]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=NAMES)


def some_views(v=3, n=5, d=4, seed=0, lead=()):
    return torch.randn(*lead, v, n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(views, p, i, q, j):
    a, b = views[p, i], views[q, j]
    return float((a @ b) / math.sqrt(float(a @ a) * float(b @ b)))


def loop(name, views, tau):
    """The formulas, one exponential at a time."""
    v, n = views.shape[:2]
    e = lambda p, i, q, j: math.exp(cosine(views, p, i, q, j) / tau)  # noqa: E731
    total = 0.0
    for i in range(n):
        ordered = list(itertools.permutations(range(v), 2))
        if name == "pairwise":
            each = [-math.log(e(p, i, q, i) / sum(e(p, i, q, j) for j in range(n))) for p, q in ordered]
            total += sum(each) / len(ordered)
        elif name == "mv_dhel":
            top = sum(e(p, i, q, i) for p, q in itertools.combinations(range(v), 2))
            bottom = math.prod(sum(e(p, i, p, j) for j in range(n) if j != i) for p in range(v))
            total += -math.log(top / bottom)
        else:
            top = sum(e(p, i, q, i) for p, q in ordered)
            bottom = sum(e(p, i, q, j) for p, q in ordered for j in range(n))
            if name == "mv_info_nce own view":
                bottom += sum(e(p, i, p, j) for p in range(v) for j in range(n) if j != i)
            total += -math.log(top / bottom)
    return total / n


@pytest.mark.parametrize("tau", [0.1, 1.0])
@pytest.mark.parametrize("v", [2, 3, 5])
@pytest.mark.parametrize(("name", "loss"), zip(NAMES, LOSSES, strict=True))
def test_equals_loop_over_the_formula(name, loss, v, tau):
    views = some_views(v)
    assert loss(views, temperature=tau).item() == pytest.approx(loop(name, views, tau), rel=1e-12)


@pytest.mark.parametrize("tau", [0.005, 0.5, 10.0])
@pytest.mark.parametrize(("v", "n"), [(2, 3), (4, 6)])
def test_all_rows_equal_has_a_closed_form(v, n, tau):
    views = torch.ones(v, n, 3, dtype=torch.float64)
    close = lambda value, expected: torch.testing.assert_close(value, torch.tensor(expected, dtype=torch.float64))  # noqa: E731
    close(pairwise_info_nce(views, temperature=tau), math.log(n))
    close(mv_info_nce(views, temperature=tau), math.log(n))
    close(mv_info_nce(views, temperature=tau, own_view=True), math.log((v * n - 1) / (v - 1)))
    close(mv_dhel(views, temperature=tau), v * math.log(n - 1) - math.log(v * (v - 1) / 2) + (v - 1) / tau)


def test_aligned_orthonormal_rows_have_a_closed_form():
    v, n, tau = 4, 5, 0.25
    views = torch.eye(n, dtype=torch.float64).expand(v, n, n)
    coupled = math.log(1 + (n - 1) * math.exp(-1 / tau))
    decoupled = v * math.log(n - 1) - math.log(v * (v - 1) / 2) - 1 / tau
    assert pairwise_info_nce(views, temperature=tau).item() == pytest.approx(coupled, rel=1e-12)
    assert mv_info_nce(views, temperature=tau).item() == pytest.approx(coupled, rel=1e-12)
    assert mv_dhel(views, temperature=tau).item() == pytest.approx(decoupled, rel=1e-12)


def test_two_views_reduce_to_the_two_view_losses():
    views, tau = some_views(2, 6), 0.3
    x, y = torch.nn.functional.normalize(views, dim=-1)
    both = symmetric_info_nce(x, y, temperature=tau)
    torch.testing.assert_close(pairwise_info_nce(views, temperature=tau), both)
    off = ~torch.eye(6, dtype=torch.bool)
    crowding = sum(((z @ z.T / tau).exp() * off).sum(1).log() for z in (x, y))
    dhel = (crowding - (x * y).sum(1) / tau).mean()
    torch.testing.assert_close(mv_dhel(views, temperature=tau), dhel)


def test_parts_add_up_and_keep_one_number_a_view():
    views = some_views(4, 6, lead=(3,))
    agreement, crowding = mv_dhel_parts(views, temperature=0.2)
    assert agreement.shape == (3,) and crowding.shape == (3, 4)
    torch.testing.assert_close(crowding.sum(-1) - agreement, mv_dhel(views, temperature=0.2))


@pytest.mark.parametrize("v", [2, 8])
def test_pull_and_push_keep_their_shares(v):
    # scaling every logit by (1 + e) changes agreement by the mean positive logit under a softmax: total weight one;
    # crowding has one such mean for each of the V views
    views, tau = torch.ones(v, 4, 3, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    agreement, crowding = mv_dhel_parts(views, temperature=tau)
    pull, push = (torch.autograd.grad(x, tau, retain_graph=True)[0].item() for x in (agreement, crowding.sum()))
    assert (pull, push) == pytest.approx((-1 / 0.5**2, -v / 0.5**2))


@every_loss
def test_order_of_views_samples_columns_scale_and_rotation_do_not_matter(loss):
    views = some_views(4, 6, 5)
    value = loss(views, temperature=0.2)
    rotation = torch.linalg.qr(some_views(1, 5, 5, seed=3)[0])[0]
    for other in (views[[2, 0, 3, 1]], views[:, [3, 1, 0, 5, 4, 2]], views @ rotation, views * 7.5):
        torch.testing.assert_close(loss(other, temperature=0.2), value)


@every_loss
def test_rows_of_one_view_out_of_step_change_the_value(loss):
    views = some_views(3, 6)
    views[1] = views[0] + 0.1 * views[1]
    turned = torch.stack([views[0], views[1].roll(1, 0), views[2]])
    assert abs(loss(views, temperature=0.2) - loss(turned, temperature=0.2)) > 0.1


@every_loss
def test_gradcheck(loss):
    views = some_views(3, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, temperature=0.3), views)


@every_loss
def test_sequence_stack_and_per_batch_temperature(loss):
    stacked = some_views(3, 5, 4, lead=(2,))
    values = loss(stacked, temperature=torch.tensor([0.1, 0.7], dtype=torch.float64))
    for views, tau, value in zip(stacked, (0.1, 0.7), values, strict=True):
        torch.testing.assert_close(loss(views, temperature=tau), value)
        torch.testing.assert_close(loss(list(views), temperature=tau), value)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("tau", [0.005, 10.0])
def test_extreme_temperatures_are_finite_and_close_to_double(loss, dtype, tau):
    views = some_views(3, 8, 16).to(dtype).requires_grad_()
    value = loss(views, temperature=tau)
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(views.grad).all()
    exact = loss(views.detach().double(), temperature=tau)
    assert value.item() == pytest.approx(exact.item(), rel=2e-5, abs=2e-4)


@every_loss
@pytest.mark.parametrize(
    ("views", "error", "word"),
    [
        (torch.ones(3, 4), ValueError, "views"),
        (torch.ones(1, 4, 2), ValueError, "two views"),
        (torch.ones(2, 1, 2), ValueError, "2 row"),
        ([torch.ones(3, 2)], ValueError, "two views"),
        ([], ValueError, "two views"),
        ([torch.ones(3, 2), torch.ones(4, 2)], ValueError, r"views\[1\]"),
        (torch.zeros(2, 3, 2), ValueError, "zero row"),
        (torch.full((2, 3, 2), float("nan")), ValueError, "NaN"),
        (torch.ones(2, 3, 2, dtype=torch.long), TypeError, "floating"),
        ("views", TypeError, "tensor"),
    ],
)
def test_bad_views_are_refused_by_name(loss, views, error, word):
    with pytest.raises(error, match=word):
        loss(views, temperature=0.1)


@every_loss
@pytest.mark.parametrize("tau", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_temperature_is_refused(loss, tau):
    with pytest.raises(ValueError, match="temperature"):
        loss(torch.ones(2, 3, 2), temperature=tau)
