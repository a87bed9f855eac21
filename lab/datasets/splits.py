"""Splits that keep what belongs together on one side."""

from __future__ import annotations

import torch

from lab.datasets.checks import check_real, generator


def group_split(groups: torch.Tensor, *, test: float = 0.2, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Split rows at random so that no group has rows on both sides.

    Groups are taken in a random order; one goes to the test side if the test side stays within its share of the rows.

    Args:
        groups: (N,) integers, the group of each row.
        test: share of rows on the test side, above 0 and below 1. The test side gets at most this share; it falls short
            by less than the size of the smallest group left for training.
        seed: of the order of the groups, 0 or larger.

    Returns:
        Rows for training and for testing, two ascending int64 tensors that together hold each row once.

    Raises:
        TypeError: groups that are not integers.
        ValueError: not one axis, a share out of range, or a side that would be empty.

    Cost: O(N log N).

    Relations: :meth:`lab.datasets.emoji_pairs.Emoji.split` calls it with the families of the emoji.

    Example:
        >>> train, test = group_split(torch.tensor([0, 0, 1, 2, 2, 2]), test=0.5, seed=1)
        >>> sorted(train.tolist() + test.tolist())
        [0, 1, 2, 3, 4, 5]
    """
    share = check_real(test, "test", low=0.0, high=1.0, open_low=True)
    if not isinstance(groups, torch.Tensor) or groups.is_floating_point() or groups.dtype == torch.bool:
        raise TypeError(f"groups: expected a tensor of integers, got {getattr(groups, 'dtype', type(groups).__name__)}")
    if groups.ndim != 1:
        raise ValueError(f"groups: expected one axis, got shape {tuple(groups.shape)}")
    _, member, sizes = torch.unique(groups, return_inverse=True, return_counts=True)
    allowed = int(share * len(groups) + 1e-9)
    held_out = torch.zeros(len(sizes), dtype=torch.bool)
    for group in torch.randperm(len(sizes), generator=generator(seed)).tolist():
        size = int(sizes[group])
        if size <= allowed:
            held_out[group] = True
            allowed -= size
    chosen = held_out[member.cpu()]
    if chosen.all() or not chosen.any():
        raise ValueError(f"test: a share of {share:g} of {len(groups)} rows in {len(sizes)} groups leaves a side empty")
    return torch.nonzero(~chosen).flatten(), torch.nonzero(chosen).flatten()
