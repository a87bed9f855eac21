"""Subclass-balancing contrast: a loop over the formula, its limits, and what the cut into subclasses promises."""

import math

import pytest
import torch

from lab.losses import sup_con_out
from lab.losses.subclasses import balanced_subclasses, subclass_contrast

CLASSES = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3]
SUBCLASSES = [0, 0, 1, 1, 2, 3, 3, 4, 5, 5, 6]  # item 4 alone in its subclass, item 10 alone in its class
OPTIONS = dict(temperature=0.2, class_temperature=0.5, weight=0.7)


def rows(n=11, d=4, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loop(x, y, m, tau, wide, weight):
    """The mean over items that share their class with somebody, term by term."""
    u = (x / x.norm(dim=1, keepdim=True)).tolist()
    s = [[sum(a * b for a, b in zip(p, q, strict=True)) for q in u] for p in u]
    terms = []
    for i in range(len(u)):
        others = [j for j in range(len(u)) if j != i]
        near = [j for j in others if m[j] == m[i]]
        wider = [j for j in others if y[j] == y[i] and m[j] != m[i]]
        total = 0.0
        if near:
            bottom = math.log(sum(math.exp(s[i][a] / tau) for a in others))
            total += sum(bottom - s[i][p] / tau for p in near) / len(near)
        if wider:
            bottom = math.log(sum(math.exp(s[i][a] / wide) for a in others if m[a] != m[i]))
            total += weight * sum(bottom - s[i][p] / wide for p in wider) / len(wider)
        if near or wider:
            terms.append(total)
    return sum(terms) / len(terms), len(u) - len(terms)


@pytest.mark.parametrize(("tau", "wide", "weight"), [(0.1, 0.3, 0.5), (1.0, 1.0, 2.0)])
def test_equals_a_loop_over_the_formula(tau, wide, weight):
    x = rows()
    got = subclass_contrast(x, CLASSES, SUBCLASSES, temperature=tau, class_temperature=wide, weight=weight)
    expected, dropped = loop(x, CLASSES, SUBCLASSES, tau, wide, weight)
    assert got.loss.item() == pytest.approx(expected, rel=1e-12)
    assert got.dropped == dropped == 1


def test_items_without_positives_can_count_as_zero_or_be_refused():
    x = rows()
    dropped = subclass_contrast(x, CLASSES, SUBCLASSES, **OPTIONS).loss
    zero = subclass_contrast(x, CLASSES, SUBCLASSES, without_positives="zero", **OPTIONS).loss
    assert zero.item() == pytest.approx(dropped.item() * 10 / 11)
    with pytest.raises(ValueError, match="no positive"):
        subclass_contrast(x, CLASSES, SUBCLASSES, without_positives="error", **OPTIONS)


def test_one_subclass_a_class_or_weight_zero_is_supervised_contrast():
    x, y, m = rows(), torch.tensor(CLASSES), torch.tensor(SUBCLASSES)
    whole = subclass_contrast(x, y, y, **OPTIONS).loss
    torch.testing.assert_close(whole, sup_con_out(x, y, temperature=0.2).loss)
    plain = subclass_contrast(x[:10], y[:10], m[:10], temperature=0.2, class_temperature=0.5, weight=0.0).loss
    # items 4 and 7 have a class but no subclass: they count, as 0
    torch.testing.assert_close(plain, sup_con_out(x[:10], m[:10], temperature=0.2).loss * 8 / 10)


def test_equal_rows_give_the_closed_form():
    y, m = [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2]
    loss = subclass_contrast(torch.ones(6, 3, dtype=torch.float64), y, m, **OPTIONS).loss
    assert loss.item() == pytest.approx(math.log(5) + 0.7 * math.log(4) * 4 / 6)


def test_a_stack_may_have_subclasses_and_temperatures_of_its_own():
    x = torch.stack([rows(), rows(seed=1)])
    m = torch.tensor([SUBCLASSES, CLASSES])
    tau = torch.tensor([0.1, 0.4], dtype=torch.float64)
    both = subclass_contrast(x, CLASSES, m, temperature=tau, class_temperature=0.5, weight=0.7)
    for i in range(2):
        one = subclass_contrast(x[i], CLASSES, m[i], temperature=float(tau[i]), class_temperature=0.5, weight=0.7)
        torch.testing.assert_close(both.loss[i], one.loss)


def test_gradient_is_finite_where_a_term_is_empty_and_agrees_with_differences():
    x = rows().requires_grad_()
    options = dict(temperature=0.5, class_temperature=0.5, weight=0.7)
    assert torch.autograd.gradcheck(lambda z: subclass_contrast(z, CLASSES, SUBCLASSES, **options).loss, x)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        (dict(subclasses=[0] * 11), "subclasses must each lie within one class"),
        (dict(labels=[0] * 11), "one class"),
        (dict(labels=[0.5] * 11), "labels must hold integers"),
        (dict(subclasses=[0, 1]), "subclasses must have shape"),
        (dict(weight=-0.1), "weight"),
        (dict(class_temperature=0.0), "class_temperature"),
        (dict(temperature=0.0), "temperature"),
    ],
)
def test_bad_arguments_are_named(changed, match):
    given = dict(embeddings=rows(), labels=CLASSES, subclasses=SUBCLASSES, **OPTIONS) | changed
    with pytest.raises(ValueError, match=match):
        subclass_contrast(**given)


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_a_cut_respects_classes_and_sizes(size):
    y = torch.repeat_interleave(torch.arange(3), torch.tensor([40, 11, 3]))
    x = torch.stack([rows(54, 5, seed=s) for s in (1, 2)])
    found = balanced_subclasses(x, y, size=size, seed=3)
    assert found.shape == (2, 54)
    for one in found:
        for c in range(3):
            n = int((y == c).sum())
            count = math.ceil(n / size)
            numbers = one[y == c].bincount()
            assert numbers.max() <= math.ceil(n / count) <= size
            assert len(one[y == c].unique()) <= count
        assert all(len(y[one == k].unique()) == 1 for k in one.unique())


def test_tight_groups_of_the_right_size_are_found():
    centres = torch.eye(6, dtype=torch.float64)[:4]
    groups = torch.arange(20) % 4
    x = centres[groups] + 0.01 * rows(20, 6)
    found = balanced_subclasses(x, [0] * 20, size=5, seed=1, rounds=30)
    # Some start finds them; a cut that agrees with the groups in all pairs is the one of least distance.
    best = max(
        float(((cut[:, None] == cut) == (groups[:, None] == groups)).double().mean())
        for cut in (balanced_subclasses(x, [0] * 20, size=5, seed=s, rounds=30) for s in range(10))
    )
    assert best == 1.0
    assert found.bincount().tolist() == [5, 5, 5, 5]


def test_the_closest_keep_a_place_that_many_want():
    # One class, two centres that start on items 0 and 1 or so: with room for two each nobody is left without a place.
    x = torch.tensor([[1.0, 0.0], [1.0, 0.01], [1.0, 0.02], [0.0, 1.0]])
    found = balanced_subclasses(x, [0, 0, 0, 0], size=2, seed=0, rounds=20)
    assert found.bincount().tolist() == [2, 2]
    assert found[2] == found[3] or found[0] == found[3]


def test_the_cut_is_a_function_of_the_seed():
    x, y = rows(40), [0] * 40
    assert torch.equal(balanced_subclasses(x, y, size=6, seed=5), balanced_subclasses(x, y, size=6, seed=5))


@pytest.mark.parametrize("changed", [dict(size=0), dict(rounds=0), dict(labels=[True] * 11), dict(labels=[0, 1])])
def test_bad_arguments_of_a_cut_are_refused(changed):
    given = dict(embeddings=rows(), labels=CLASSES, size=2) | changed
    with pytest.raises(ValueError, match=next(iter(changed))):
        balanced_subclasses(**given)
