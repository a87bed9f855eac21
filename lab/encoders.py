"""Small encoders that train in seconds on one core, with two readouts each."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

__all__ = ["Encoder", "FlattenLast", "Readout", "conv_net", "embed", "mlp"]

Readout = Literal["embedding", "penultimate"]


class Encoder(nn.Module):
    """A backbone whose output is the penultimate layer, and a linear head on it whose output is the embedding.

    Args:
        backbone: maps inputs (B, ...) to (B, width).
        head: maps (B, width) to (B, dim).

    Relations: built by :func:`conv_net` and :func:`mlp`; several of one shape are trained as one by
    :func:`lab.training.stack`.

    Example:
        >>> encoder = mlp(10, dim=3, width=8)
        >>> x = torch.rand(5, 10)
        >>> encoder(x).shape, encoder.features(x).shape
        (torch.Size([5, 3]), torch.Size([5, 8]))
    """

    def __init__(self, backbone: nn.Sequential, head: nn.Sequential) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def features(self, x: Tensor) -> Tensor:
        """The penultimate layer, (B, width), after its ReLU: the readout "penultimate"."""
        return self.backbone(x)

    def forward(self, x: Tensor) -> Tensor:
        """The embedding, (B, dim), not normalised: the readout "embedding"."""
        return self.head(self.features(x))


class FlattenLast(nn.Module):
    """Flattening of (B, C, H, W) with the channels running fastest: no copy for a tensor in channels_last.

    Example:
        >>> FlattenLast()(torch.tensor([[[[1.0]], [[2.0]]]]))
        tensor([[1., 2.]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, H * W * C)."""
        return x.permute(0, 2, 3, 1).flatten(1)


def conv_net(
    size: int = 14, channels: int = 1, width: int = 32, dim: int = 64, hidden: int = 128, seed: int = 0
) -> Encoder:
    """A convolutional encoder: strided convolutions down to 4 x 4 or less, a hidden layer, a linear head.

    Each convolution is 3 x 3 with stride 2, batch normalisation and ReLU; the first has ``width / 2`` channels and
    each next one twice as many as the one before. There are two for 14 x 14 and three for 28 x 28 and 32 x 32.

    Args:
        size: height and width of the images in pixels, at least 4.
        channels: channels of the images.
        width: channels of the second convolution, even.
        dim: length of the embedding.
        hidden: length of the penultimate layer.
        seed: of the weights; the global random state is neither read nor changed.

    Returns:
        An :class:`Encoder` for inputs (B, channels, size, size), float32, on the CPU.

    Raises:
        ValueError: a size below its least value, ``width`` odd.

    Cost: forward, backward and optimiser take about 40 microseconds an image of 14 x 14 on one core.

    Source: none; chosen for speed and k-NN accuracy on 14 x 14 Fashion-MNIST.

    Example:
        >>> conv_net(28)(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 64])
    """
    _check_least(size=(size, 4), channels=(channels, 1), width=(width, 2), dim=(dim, 1), hidden=(hidden, 1))
    if width % 2:
        raise ValueError(f"width must be even, got {width}")
    with torch.random.fork_rng(devices=[]):
        layers: list[nn.Module] = []
        inputs, outputs = channels, width // 2
        while size > 4:
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs, outputs, size = outputs, 2 * outputs, (size + 1) // 2
        layers += [FlattenLast(), nn.Linear(inputs * size * size, hidden), nn.ReLU()]
        encoder = Encoder(nn.Sequential(*layers), nn.Sequential(nn.Linear(hidden, dim)))
    _initialise(encoder, seed)
    return encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def mlp(inputs: int, dim: int = 64, width: int = 64, depth: int = 2, seed: int = 0) -> Encoder:
    """A multilayer perceptron: ``depth`` hidden layers of ``width`` with ReLU, and a linear head.

    Args:
        inputs: length of an input row; images (B, C, H, W) with C * H * W = ``inputs`` are flattened.
        dim: length of the embedding.
        width: length of each hidden layer, the penultimate one among them.
        depth: number of hidden layers, at least 1.
        seed: of the weights; the global random state is neither read nor changed.

    Returns:
        An :class:`Encoder` for inputs (B, ``inputs``), float32, on the CPU.

    Raises:
        ValueError: a size below 1.

    Cost: forward, backward and optimiser take about 5 microseconds a row of 196 on one core.

    Example:
        >>> mlp(196, dim=8)(torch.rand(2, 1, 14, 14)).shape
        torch.Size([2, 8])
    """
    _check_least(inputs=(inputs, 1), dim=(dim, 1), width=(width, 1), depth=(depth, 1))
    with torch.random.fork_rng(devices=[]):
        layers: list[nn.Module] = [nn.Flatten()]
        for length in [inputs, *[width] * (depth - 1)]:
            layers += [nn.Linear(length, width), nn.ReLU()]
        encoder = Encoder(nn.Sequential(*layers), nn.Sequential(nn.Linear(width, dim)))
    return _initialise(encoder, seed)


def embed(encoder: nn.Module, images: Tensor, readout: Readout = "embedding", batch_size: int = 2048) -> Tensor:
    """Embeddings of all images, without gradient and in evaluation mode.

    Args:
        encoder: an :class:`Encoder`, or several stacked by :func:`lab.training.stack`; its mode is put back afterwards.
        images: (N, ...) inputs of one encoder; a stack gets the same images in each of its members.
        readout: "embedding" (the output) or "penultimate" (the layer before the head).
        batch_size: rows at a time; changes memory and nothing else.

    Returns:
        (N, d), or (S, N, d) for a stack of S, not normalised, on the device of the images.

    Raises:
        ValueError: unknown readout, no images, batch_size below 1.

    Cost: about 10 microseconds an image of 14 x 14 for :func:`conv_net` on one core.

    Example:
        >>> embed(conv_net(), torch.rand(5, 1, 14, 14), "penultimate").shape
        torch.Size([5, 128])
    """
    if readout not in ("embedding", "penultimate"):
        raise ValueError(f"readout must be 'embedding' or 'penultimate', got {readout!r}")
    if len(images) == 0:
        raise ValueError("images must hold at least one image, got none")
    _check_least(batch_size=(batch_size, 1))
    device = next(encoder.parameters()).device
    members = getattr(encoder, "members", None)  # a stack: the same rows go to each member
    read: Any = encoder if readout == "embedding" else encoder.features
    mode = encoder.training
    encoder.eval()
    try:
        with torch.no_grad():
            parts: list[Tensor] = []
            for rows in images.split(batch_size):
                rows = rows.to(device)
                parts.append(read(rows if members is None else rows.expand(members, *rows.shape)))
    finally:
        encoder.train(mode)
    return torch.cat(parts, -2).to(images.device)


def _initialise(encoder: Encoder, seed: int) -> Encoder:
    """He-normal weights from a generator of the encoder's own, biases zero; the head keeps the variance (no ReLU)."""
    generator = torch.Generator().manual_seed(seed)
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            gain: Literal["linear", "relu"] = "linear" if module is encoder.head[-1] else "relu"
            nn.init.kaiming_normal_(module.weight, nonlinearity=gain, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return encoder


def _check_least(**values: tuple[int, int]) -> None:
    for name, (value, least) in values.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an int, got {type(value).__name__}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
