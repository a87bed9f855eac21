"""Intervals and rank correlation against SciPy, closed forms and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch

from lab.collection.statistics import as_values, mean_interval, paired_interval, spearman


def test_t_interval_of_two_values_is_the_closed_form() -> None:
    # one degree of freedom is the Cauchy distribution, whose 97.5 % quantile is tan(0.475 pi)
    got = mean_interval([0.0, 2.0])
    assert got.value == 1.0
    assert got.high - got.value == pytest.approx(math.tan(0.475 * math.pi) * math.sqrt(2) / math.sqrt(2), rel=1e-12)
    assert got.value - got.low == pytest.approx(got.high - got.value, rel=1e-12)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [2, 5, 17])
def test_t_interval_agrees_with_scipy(n: int, confidence: float) -> None:
    x = np.random.default_rng(n).normal(3, 2, n)
    low, high = scipy.stats.ttest_1samp(x, 0.0).confidence_interval(confidence)
    got = mean_interval(x, confidence=confidence)
    assert (got.low, got.high) == pytest.approx((low, high), rel=1e-12)
    assert (got.n, got.method, got.value) == (n, "t", pytest.approx(x.mean()))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bca_interval_agrees_with_scipy_on_the_same_resamples(seed: int) -> None:
    x = np.random.default_rng(seed + 50).exponential(size=9)
    want = scipy.stats.bootstrap(
        (x,), np.mean, method="BCa", n_resamples=9999, confidence_level=0.95, rng=np.random.default_rng(seed)
    ).confidence_interval
    got = mean_interval(x, method="bca", seed=seed)
    assert (got.low, got.high) == pytest.approx((want.low, want.high), rel=1e-10)


def test_bca_follows_the_skew_of_the_data() -> None:
    x = np.random.default_rng(3).exponential(size=40)
    got = mean_interval(x, method="bca")
    assert got.high - got.value > 1.1 * (got.value - got.low)
    mirrored = mean_interval(-x, method="bca")
    assert (mirrored.low, mirrored.high) == pytest.approx((-got.high, -got.low), abs=0.02)


def test_bca_of_many_values_approaches_the_normal_interval() -> None:
    x = np.random.default_rng(4).normal(size=400)
    half = 1.959964 * x.std(ddof=1) / 20
    got = mean_interval(x, method="bca")
    # 9,999 resamples leave a few percent of the half-width as noise in each end
    assert (got.low, got.high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.06 * half)


def test_bca_repeats_with_its_seed() -> None:
    x = [1.0, 4.0, 2.0, 8.0, 5.0]
    assert mean_interval(x, "bca", seed=1) == mean_interval(x, "bca", seed=1)
    assert mean_interval(x, "bca", seed=1) != mean_interval(x, "bca", seed=2)


def test_t_interval_covers_the_mean_as_often_as_it_says() -> None:
    runs, confidence = 4000, 0.95
    x = np.random.default_rng(0).normal(1.0, 2.0, (runs, 5))
    intervals = [mean_interval(row, confidence=confidence) for row in x]
    covered = sum(i.low <= 1.0 <= i.high for i in intervals) / runs
    # four standard errors of a share of 4,000 runs: an interval by the normal quantile covers only 88 %
    assert abs(covered - confidence) < 4 * math.sqrt(confidence * (1 - confidence) / runs)


@pytest.mark.parametrize("method", ["t", "bca"])
def test_equal_values_give_no_width(method: str) -> None:
    got = mean_interval([0.1] * 7, method=method)
    assert got.value == got.low == got.high == 0.1


def test_pairing_removes_what_both_share() -> None:
    shared = np.random.default_rng(1).normal(0, 100, 6)
    effect = np.array([1.0, 1.1, 0.9, 1.05, 0.95, 1.0])
    got, want = paired_interval(shared + effect, shared), mean_interval(effect)
    assert (got.value, got.low, got.high) == pytest.approx((want.value, want.low, want.high), abs=1e-9)
    low, high = scipy.stats.ttest_rel(shared + effect, shared).confidence_interval(0.95)
    assert (got.low, got.high) == pytest.approx((low, high), abs=1e-9)


def test_bad_values_are_refused() -> None:
    for bad, words in (
        ([1.0], "at least 2"),
        ([], "at least 2"),
        ([1.0, math.nan], "finite"),
        ([1.0, math.inf], "finite"),
        ([[1.0, 2.0], [3.0, 4.0]], "one axis"),
        (["a", "b"], "numbers"),
    ):
        for method in ("t", "bca"):
            with pytest.raises(ValueError, match=words):
                mean_interval(bad, method)
    with pytest.raises(ValueError, match="paired"):
        paired_interval([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="method"):
        mean_interval([1.0, 2.0], "percentile")
    with pytest.raises(ValueError, match="confidence"):
        mean_interval([1.0, 2.0], confidence=95)


def test_tensors_are_values() -> None:
    row = torch.tensor([1.0, 2.0, 4.0], requires_grad=True)
    assert as_values(row, "x").tolist() == [1.0, 2.0, 4.0]
    assert as_values([torch.tensor(1.0), 2], "x").tolist() == [1.0, 2.0]


def test_spearman_agrees_with_scipy_with_and_without_ties() -> None:
    rng = np.random.default_rng(2)
    for high in (4, 1000):
        a, b = rng.integers(0, high, 30), rng.integers(0, high, 30)
        assert spearman(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-12)
    assert spearman([3, 1, 2], [-3, -1, -2]) == -1.0


def test_spearman_refuses_what_has_no_order() -> None:
    with pytest.raises(ValueError, match="equal values"):
        spearman([1, 1, 1], [1, 2, 3])
    with pytest.raises(ValueError, match="same length"):
        spearman([1, 2, 3], [1, 2, 3, 4])
    with pytest.raises(ValueError, match="at least 3"):
        spearman([1, 2], [1, 2])
