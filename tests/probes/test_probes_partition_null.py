"""The null of partition isotropy beside what Gaussian clouds give."""

from __future__ import annotations

import pytest
import torch

from lab.probes import partition_isotropy, partition_isotropy_null


def by_hand(rows: torch.Tensor) -> float:
    """min Z(c) / max Z(c) over the eigenvectors c of the second-moment matrix, both ways along each."""
    _, vectors = torch.linalg.eigh(rows.T @ rows)
    z = torch.logsumexp(torch.cat([rows @ vectors, -(rows @ vectors)], 1), 0)
    return float((z.min() - z.max()).exp())


@pytest.mark.parametrize(("n", "d", "energy"), [(2000, 16, 16.0), (4000, 40, 20.0)])
def test_the_null_is_what_gaussian_clouds_give(n: int, d: int, energy: float) -> None:
    draw = torch.Generator().manual_seed(1)
    clouds = [torch.randn(n, d, generator=draw, dtype=torch.float64) * (energy / d) ** 0.5 for _ in range(20)]
    measured = torch.tensor([by_hand(cloud) for cloud in clouds])
    assert partition_isotropy(clouds[0], center=False).value == pytest.approx(by_hand(clouds[0]), rel=1e-6)
    null = partition_isotropy_null(n, d, energy, center=False)
    assert null is not None
    # the median of extremes is not their mean: allow a tenth of what isotropy lacks to 1
    assert float(measured.mean()) == pytest.approx(null, abs=0.1 * (1 - null))


def test_there_is_no_null_where_too_few_rows_carry_the_sum() -> None:
    assert partition_isotropy_null(100, 2, 40.0, center=False) is None
