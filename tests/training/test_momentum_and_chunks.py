"""Momentum against the average written out; chunks against the whole batch, with a control that must differ."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from lab.augment import Augment
from lab.encoders import conv_net, mlp
from lab.losses import nt_xent
from lab.training import Momentum, Rows, fit, in_chunks, stack

DATA = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


def loss(model: Any, batch: Any) -> torch.Tensor:
    return (model(batch.rows[0]) - 1).square().mean()


@pytest.mark.parametrize("final", [None, 1.0])
def test_the_average_written_out(final) -> None:
    net = mlp(6, dim=3, width=8, seed=1)
    slow = Momentum(net, momentum=0.8, final=final)
    expected = [p.detach().clone() for p in net.parameters()]
    passed: list[list[torch.Tensor]] = []
    watch = type("Watch", (Momentum,), {"after_step": lambda self, run: passed.append(
        [p.detach().clone() for p in net.parameters()])})(net, momentum=0)  # fmt: skip
    fit(net, loss, Rows(DATA, batch_size=8), steps=5, lr=0.05, device="cpu", callbacks=[slow, watch])
    for done, weights in enumerate(passed, 1):
        m = 0.8 if final is None else 1 - 0.2 * (1 + math.cos(math.pi * done / 5)) / 2
        expected = [m * old + (1 - m) * new for old, new in zip(expected, weights, strict=True)]
    for mine, theirs in zip(slow.model.parameters(), expected, strict=True):
        torch.testing.assert_close(mine.detach(), theirs)
    assert not any(p.requires_grad for p in slow.model.parameters()) and not slow.model.training


def test_statistics_of_normalisation_are_copied_and_the_model_stays_itself() -> None:
    net = conv_net(width=4, hidden=8)
    slow = Momentum(net, momentum=0.99)
    images = torch.rand(16, 1, 14, 14)
    fit(net, loss, Rows(images, batch_size=8), steps=3, device="cpu", callbacks=[slow])
    buffers = list(zip(net.named_buffers(), slow.model.named_buffers(), strict=True))
    assert buffers and all(torch.equal(a[1], b[1]) for a, b in buffers)
    assert not torch.equal(net.head[0].weight, slow.model.head[0].weight)


def test_momentum_out_of_range() -> None:
    for wrong in ({"momentum": 1.1}, {"momentum": 0.5, "final": -0.1}, {"momentum": True}):
        with pytest.raises(ValueError, match="must lie in"):
            Momentum(mlp(6), **wrong)


def net_with_dropout() -> nn.Sequential:
    torch.manual_seed(4)
    return nn.Sequential(nn.Linear(6, 12), nn.Dropout(0.4), nn.ReLU(), nn.Linear(12, 5))


def gradient(net: nn.Module, forward: Any, dtype: torch.dtype) -> tuple[float, torch.Tensor]:
    net = net.to(dtype)
    net.zero_grad()
    torch.manual_seed(11)
    z = forward(net, DATA.to(dtype))
    value = nt_xent(z[:20], z[20:], temperature=0.1)
    value.backward()
    return value.item(), torch.cat([p.grad.flatten() for p in net.parameters()])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("size", [1, 7, 40, 100])
def test_gradient_of_the_whole_batch_with_dropout_drawn_again(dtype, tolerance, size) -> None:
    net = net_with_dropout()
    # the same draws of dropout chunk by chunk, with everything held
    whole = gradient(net, lambda m, x: torch.cat([m(part) for part in x.split(size)]), dtype)
    chunked = gradient(net, lambda m, x: in_chunks(m, x, size), dtype)
    assert chunked[0] == pytest.approx(whole[0], rel=tolerance)
    assert (chunked[1] - whole[1]).norm() <= tolerance * whole[1].norm()


def test_dropout_drawn_anew_would_give_another_gradient() -> None:
    """The negative control: recomputation without the old random numbers."""
    from torch.utils.checkpoint import checkpoint

    net = net_with_dropout()

    def careless(m: Any, x: torch.Tensor) -> torch.Tensor:
        run = {"use_reentrant": False, "preserve_rng_state": False}
        return torch.cat([checkpoint(m, part, **run) for part in x.split(7)])

    whole = gradient(net, lambda m, x: torch.cat([m(part) for part in x.split(7)]), torch.float64)
    wrong = gradient(net, careless, torch.float64)
    assert wrong[0] == pytest.approx(whole[0], rel=1e-12)
    assert (wrong[1] - whole[1]).norm() > 0.05 * whole[1].norm()


def test_accumulated_small_batches_are_not_the_whole_batch() -> None:
    net = net_with_dropout().eval()

    def half(m: Any, x: torch.Tensor) -> torch.Tensor:
        return m(x)

    whole = gradient(net, half, torch.float64)
    net.zero_grad()
    z = net(DATA.double())
    parts = [nt_xent(z[a : a + 10], z[20 + a : 30 + a], temperature=0.1) for a in (0, 10)]
    (sum(parts) / 2).backward()
    apart = torch.cat([p.grad.flatten() for p in net.parameters()])
    assert (apart - whole[1]).norm() > 0.05 * whole[1].norm()


def test_augmentation_inside_is_drawn_again() -> None:
    net, augment = conv_net(width=4, hidden=8).eval(), Augment.weak()
    images = torch.rand(12, 1, 14, 14)

    def seen(chunk: torch.Tensor) -> torch.Tensor:
        return net(augment(chunk, torch.Generator().manual_seed(int(chunk.sum() * 1000) % 2**31)))

    ways = {
        "whole": lambda: torch.cat([seen(part) for part in images.split(5)]),
        "chunks": lambda: in_chunks(seen, images, 5),
    }
    found = {}
    for name, way in ways.items():
        net.zero_grad()
        z = way()
        nt_xent(z[:6], z[6:], temperature=0.2).backward()
        found[name] = torch.cat([p.grad.flatten() for p in net.parameters()])
    torch.testing.assert_close(found["chunks"], found["whole"], rtol=1e-5, atol=1e-7)


def test_a_stack_goes_through_in_chunks_of_rows() -> None:
    model = stack([mlp(6, dim=3, width=8, seed=s) for s in (0, 1)])
    rows = torch.stack([DATA, DATA.flip(0)])
    torch.testing.assert_close(in_chunks(model, rows, 9, axis=1), model(rows))


def test_only_one_chunk_of_activations_is_held() -> None:
    held = []

    class Watch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.expand(-1, 1000).clone().sin().sum(1, keepdim=True)

    def pack(t: torch.Tensor) -> torch.Tensor:
        held.append(t.numel())
        return t

    x = torch.rand(64, 1, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        in_chunks(Watch(), x, 8).sum()
    assert sum(held) < 64 * 10
    held.clear()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        Watch()(x).sum()
    assert sum(held) >= 64 * 1000


def test_what_cannot_be_chunked_is_refused() -> None:
    with pytest.raises(ValueError, match="batch normalisation"):
        in_chunks(conv_net(width=4).train(), torch.rand(4, 1, 14, 14), 2)
    assert in_chunks(conv_net(width=4).eval(), torch.rand(4, 1, 14, 14), 2).shape == (4, 64)
    for size in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match="size"):
            in_chunks(mlp(6), DATA, size)
    with pytest.raises(ValueError, match="rows"):
        in_chunks(mlp(6), DATA[:0], 3)
    with torch.no_grad():
        assert not in_chunks(mlp(6), DATA, 7).requires_grad
