"""Splits by group."""

from __future__ import annotations

import pytest
import torch

from lab.datasets import group_split


@pytest.mark.parametrize("seed", range(20))
def test_groups_stay_whole(seed):
    groups = torch.randint(0, 30, (200,), generator=torch.Generator().manual_seed(seed))
    train, test = group_split(groups, test=0.3, seed=seed)
    assert sorted(train.tolist() + test.tolist()) == list(range(200))
    assert not set(groups[train].tolist()) & set(groups[test].tolist())
    smallest = min(int((groups == group).sum()) for group in groups[train].unique())
    assert 60 - smallest < len(test) <= 60


def test_seed_decides_alone():
    groups = torch.arange(100) // 2
    torch.manual_seed(0)
    first = group_split(groups, seed=5)[1]
    torch.manual_seed(1)
    assert torch.equal(first, group_split(groups, seed=5)[1])
    assert not torch.equal(first, group_split(groups, seed=6)[1])


def test_bad_arguments():
    with pytest.raises(TypeError, match="groups"):
        group_split(torch.zeros(4), seed=0)
    with pytest.raises(ValueError, match="groups: expected one axis"):
        group_split(torch.zeros(4, 2, dtype=torch.int64), seed=0)
    with pytest.raises(ValueError, match="leaves a side empty"):
        group_split(torch.zeros(10, dtype=torch.int64), test=0.5, seed=0)
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="test"):
            group_split(torch.arange(10), test=share, seed=0)
    with pytest.raises(TypeError, match="seed"):
        group_split(torch.arange(10), seed=1.5)
