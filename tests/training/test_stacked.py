"""A stack of S encoders is S single runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lab.augment import Augment
from lab.encoders import Encoder, conv_net, embed, mlp
from lab.losses import nt_xent
from lab.training import TwoViews, fit, stack, train_two_views

IMAGES = torch.rand(60, 1, 14, 14, generator=torch.Generator().manual_seed(3))
SEEDS = [0, 5, 2]
MAKES: dict[str, Callable[..., Encoder]] = {
    "mlp": lambda seed: mlp(196, dim=8, width=16, seed=seed),
    "conv": lambda seed: conv_net(width=8, dim=8, hidden=16, seed=seed),
}


def objective(model: Any, batch: Any) -> Tensor:
    return nt_xent(model(batch.view1), model(batch.view2), temperature=0.2)


def singles(make: Callable[..., Encoder], dtype: torch.dtype, seeds: Sequence[int], **options: Any) -> list[Encoder]:
    encoders = [make(seed=seed).to(dtype) for seed in SEEDS]
    for encoder, seed in zip(encoders, seeds, strict=True):
        fit(encoder, objective, TwoViews(IMAGES.to(dtype), 16, Augment(noise=0.02), seed), **options)
    return encoders


def stacked(make: Callable[..., Encoder], dtype: torch.dtype, seeds: Sequence[int], **options: Any) -> list[Encoder]:
    model = stack([make(seed=seed).to(dtype) for seed in SEEDS])
    fit(model, objective, TwoViews(IMAGES.to(dtype), 16, Augment(noise=0.02), seeds), **options)
    return model.unstack()


def furthest(first: Sequence[Encoder], second: Sequence[Encoder]) -> float:
    """Greatest difference of a weight or buffer."""
    return max(
        (p.double() - q.double()).abs().max().item()
        for a, b in zip(first, second, strict=True)
        for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("net", ["mlp", "conv"])
@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_stack_ends_with_the_weights_of_its_single_runs(net: str, optimiser: Any) -> None:
    options: dict[str, Any] = {"steps": 30, "lr": 3e-3, "weight_decay": 0.05, "optimiser": optimiser}
    make = MAKES[net]
    together = stacked(make, torch.float64, SEEDS, **options)
    apart = singles(make, torch.float64, SEEDS, **options)
    assert furthest(together, apart) < 1e-10
    start = [make(seed=seed).double() for seed in SEEDS]
    assert furthest(start, apart) > 1e-2  # they moved


@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_single_precision_agrees_to_the_stated_tolerance(net: str) -> None:
    options: dict[str, Any] = {"steps": 30, "lr": 1e-3, "weight_decay": 0.05}
    together = stacked(MAKES[net], torch.float32, SEEDS, **options)
    assert furthest(together, singles(MAKES[net], torch.float32, SEEDS, **options)) < 1e-3


def test_another_order_of_the_data_does_not_match() -> None:
    options: dict[str, Any] = {"steps": 30, "lr": 3e-3, "weight_decay": 0.05}
    together = stacked(MAKES["mlp"], torch.float64, SEEDS, **options)
    other = singles(MAKES["mlp"], torch.float64, [1, 6, 3], **options)
    assert furthest(together, other) > 1e-3
    swapped = singles(MAKES["mlp"], torch.float64, [5, 0, 2], **options)
    assert furthest(together[:2], swapped[:2]) > 1e-3
    assert furthest(together[2:], swapped[2:]) < 1e-10


@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_outputs_readouts_and_unstacking(net: str) -> None:
    encoders = [MAKES[net](seed=seed).eval() for seed in SEEDS]
    model = stack(encoders).eval()
    x = torch.rand(3, 5, 1, 14, 14)
    with torch.no_grad():
        for member, encoder in enumerate(encoders):
            torch.testing.assert_close(model(x)[member], encoder(x[member]))
            torch.testing.assert_close(model.features(x)[member], encoder.features(x[member]))
    back = model.unstack()
    assert furthest(back, encoders) == 0 and not back[0].training
    assert str(back[0]) == str(encoders[0])
    for name in ("embedding", "penultimate"):
        apart = torch.stack([embed(encoder, IMAGES, name) for encoder in encoders])  # type: ignore[arg-type]
        torch.testing.assert_close(embed(model, IMAGES, name, batch_size=7), apart)  # type: ignore[arg-type]


@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_stack_and_encoders_share_no_memory(net: str) -> None:
    encoders = [MAKES[net](seed=seed) for seed in SEEDS]
    model = stack(encoders)
    before = [p.clone() for p in encoders[0].parameters()]
    back = model.unstack()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1)
    for p, q, r in zip(before, encoders[0].parameters(), back[0].parameters(), strict=True):
        assert torch.equal(p, q) and torch.equal(p, r)
    for p in back[0].parameters():
        assert p.requires_grad and p.is_leaf


def test_the_recipe_gives_the_same_encoders_stacked_and_one_by_one() -> None:
    options: dict[str, Any] = {"seeds": SEEDS, "steps": 10, "batch_size": 16, "make": MAKES["conv"], "lr": 1e-3}

    def loss(a: Tensor, b: Tensor) -> Tensor:
        return nt_xent(a, b, temperature=0.2)

    together = train_two_views(IMAGES, loss, **options)
    apart = train_two_views(IMAGES, loss, stacked=False, **options)
    assert furthest(together, apart) < 1e-4
    single = train_two_views(IMAGES, loss, **{**options, "seeds": [5]})
    assert furthest(single, apart[1:2]) == 0
    assert not together[0].training and len(together) == 3
    with pytest.raises(ValueError, match="seeds must hold at least one seed"):
        train_two_views(IMAGES, loss, **{**options, "seeds": []})


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="encoders must hold at least one encoder"):
        stack([])
    with pytest.raises(ValueError, match=r"encoders\[1\] differs from encoders\[0\]"):
        stack([mlp(4), mlp(5)])
    with pytest.raises(TypeError, match=r"encoders\[0\] must be an Encoder, got Linear"):
        stack([nn.Linear(2, 2)])  # type: ignore[list-item]
    odd = Encoder(nn.Sequential(nn.Bilinear(2, 2, 2)), nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(TypeError, match=r"backbone\[0\] must be a layer that can be stacked, got Bilinear"):
        stack([odd])
    with pytest.raises(ValueError, match=r"x must have shape \(2, B, ...\), got \(3, 4, 5\)"):
        stack([mlp(5), mlp(5)])(torch.rand(3, 4, 5))
