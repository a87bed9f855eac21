"""Encoders: shapes, initialisation and readouts against closed forms and plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from lab.encoders import FlattenLast, conv_net, embed, mlp


@pytest.mark.parametrize(
    ("size", "channels", "convolutions"), [(14, 1, 2), (28, 1, 3), (32, 3, 3), (4, 1, 0), (5, 2, 1)]
)
def test_conv_net_shapes_and_depth(size: int, channels: int, convolutions: int) -> None:
    encoder = conv_net(size, channels, width=16, dim=7, hidden=9)
    x = torch.rand(3, channels, size, size)
    assert encoder(x).shape == (3, 7)
    assert encoder.features(x).shape == (3, 9)
    assert sum(isinstance(m, torch.nn.Conv2d) for m in encoder.modules()) == convolutions


def test_mlp_equals_matrix_products_written_out() -> None:
    encoder = mlp(6, dim=3, width=5, depth=2, seed=4).double()
    x = torch.randn(4, 6, dtype=torch.float64)
    weights = [(m.weight, m.bias) for m in encoder.modules() if isinstance(m, torch.nn.Linear)]
    assert len(weights) == 3
    hidden = x
    for weight, bias in weights[:-1]:
        rows = [[max(0.0, (weight[j] @ row + bias[j]).item()) for j in range(len(bias))] for row in hidden]
        hidden = torch.tensor(rows, dtype=torch.float64)
    torch.testing.assert_close(encoder.features(x).detach(), hidden)
    torch.testing.assert_close(encoder(x), hidden @ weights[-1][0].T + weights[-1][1])


def test_mlp_flattens_images() -> None:
    encoder = mlp(12, dim=2)
    x = torch.rand(3, 1, 3, 4)
    torch.testing.assert_close(encoder(x), encoder(x.reshape(3, 12)))


def test_flatten_last_order() -> None:
    x = torch.arange(24.0).reshape(2, 3, 2, 2)
    flat = FlattenLast()(x)
    for b in range(2):
        expected = [float(x[b, c, i, j]) for i in range(2) for j in range(2) for c in range(3)]
        assert flat[b].tolist() == expected


@pytest.mark.parametrize("make", [lambda seed: conv_net(width=8, seed=seed), lambda seed: mlp(20, seed=seed)])
def test_seed_decides_the_weights_and_the_global_state_is_left_alone(make) -> None:
    before = torch.get_rng_state()
    first, again, other = make(3), make(3), make(4)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(99)
    under_another_state = make(3)
    for a, b, c in zip(first.parameters(), again.parameters(), under_another_state.parameters(), strict=True):
        assert torch.equal(a, b) and torch.equal(a, c)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_initial_weights_have_he_variance_and_the_head_unit_gain() -> None:
    encoder = mlp(400, dim=300, width=300, depth=2, seed=0)
    layers = [m for m in encoder.modules() if isinstance(m, torch.nn.Linear)]
    for layer, gain in zip(layers, (2, 2, 1), strict=True):
        assert layer.weight.std().item() == pytest.approx(math.sqrt(gain / layer.in_features), rel=0.02)
        assert layer.bias.abs().max() == 0


def test_embed_reads_both_readouts_in_evaluation_mode_and_puts_the_mode_back() -> None:
    encoder = conv_net(width=8, dim=5, hidden=6)
    images = torch.rand(11, 1, 14, 14)
    encoder.train()
    encoder(images)  # moves the running statistics off their start
    whole = embed(encoder, images)
    assert encoder.training and not whole.requires_grad and whole.shape == (11, 5)
    encoder.eval()
    one_by_one = torch.cat([encoder(image[None]) for image in images]).detach()
    torch.testing.assert_close(whole, one_by_one)
    torch.testing.assert_close(embed(encoder, images, batch_size=3), whole)
    penultimate = embed(encoder, images, "penultimate", batch_size=4)
    torch.testing.assert_close(penultimate, encoder.features(images).detach())
    assert not encoder.training


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"size must be at least 4, got 3"):
        conv_net(3)
    with pytest.raises(ValueError, match="width must be even, got 7"):
        conv_net(width=7)
    with pytest.raises(TypeError, match="dim must be an int, got float"):
        mlp(3, dim=2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        mlp(3, depth=0)
    with pytest.raises(ValueError, match="readout must be 'embedding' or 'penultimate', got 'last'"):
        embed(mlp(3), torch.rand(2, 3), "last")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="images must hold at least one image"):
        embed(mlp(3), torch.rand(0, 3))
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        embed(mlp(3), torch.rand(2, 3), batch_size=0)
