"""Several encoders of one shape as one module, so that S seeds are trained at once."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.encoders import Encoder, FlattenLast

__all__ = ["Stacked", "stack"]


class Stacked(nn.Module):
    """S encoders of one shape in one module; member i computes what encoder i would.

    Inputs (S, B, ...) give embeddings (S, B, d). Built by :func:`stack`.

    Example:
        >>> from lab.encoders import mlp
        >>> stacked = stack([mlp(10, dim=3, seed=s) for s in range(5)])
        >>> stacked(torch.rand(5, 7, 10)).shape, len(stacked.unstack())
        (torch.Size([5, 7, 3]), 5)
    """

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        super().__init__()
        self.members = len(encoders)
        self.backbone = _stack_layers([e.backbone for e in encoders], "backbone")
        self.head = _stack_layers([e.head for e in encoders], "head")
        self._template = (copy.deepcopy(encoders[0]),)  # in a tuple, so that its weights are not this module's

    def features(self, x: Tensor) -> Tensor:
        """The penultimate layers, (S, B, width): the readout "penultimate"."""
        if x.ndim < 3 or len(x) != self.members:
            raise ValueError(f"x must have shape ({self.members}, B, ...), got {tuple(x.shape)}")
        return self.backbone(x)

    def forward(self, x: Tensor) -> Tensor:
        """The embeddings, (S, B, dim), not normalised: the readout "embedding"."""
        return self.head(self.features(x))

    def unstack(self) -> list[Encoder]:
        """The S encoders with the weights, buffers, mode and device they have now, as copies of their own."""
        encoders = []
        for member in range(self.members):
            encoder = copy.deepcopy(self._template[0])
            for name in ("backbone", "head"):
                for stacked, layer in zip(getattr(self, name), getattr(encoder, name), strict=True):
                    if isinstance(stacked, _Linear | _Conv | _Norm):
                        stacked.give(layer, member)
            encoders.append(encoder.train(self.training))
        return encoders


def stack(encoders: Sequence[Encoder]) -> Stacked:
    """One module of S encoders that have the same layers, with copies of their weights.

    Args:
        encoders: at least one :class:`lab.encoders.Encoder`, all of one shape, dtype and device, made of linear and
            convolutional layers, batch normalisation, ReLU and flattening.

    Returns:
        :class:`Stacked`; :func:`lab.training.fit` trains it with batches (S, B, ...) and a loss of shape (S,).

    Raises:
        ValueError: no encoder, or encoders of different shapes.
        TypeError: a layer that cannot be stacked.

    Cost: against five single runs with NT-Xent on one core, five perceptrons of width 64 train 2.5, 1.9 and 1.3 times
        faster with batches of 64, 128 and 256 (where the products fill the core); conv nets of width 32 1.7, 1.5 and
        1.2 times.

    Relations: with ``TwoViews(..., seed=[s1, ..., sS])`` the members end with the weights of S single runs: to 1e-10 in
    float64 after 50 steps of AdamW; in float32 rounding grows with the steps, to about 1e-3 after 50.

    Example:
        >>> from lab.encoders import mlp
        >>> stack([mlp(10, seed=0), mlp(10, seed=1)]).members
        2
    """
    encoders = list(encoders)
    if not encoders:
        raise ValueError("encoders must hold at least one encoder, got none")
    for i, encoder in enumerate(encoders):
        if not isinstance(encoder, Encoder):
            raise TypeError(f"encoders[{i}] must be an Encoder, got {type(encoder).__name__}")
        if str(encoder) != str(encoders[0]):
            raise ValueError(f"encoders must have the same layers, but encoders[{i}] differs from encoders[0]")
    return Stacked(encoders)


class _Linear(nn.Module):
    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        # stored as (S, in, out): bmm reads it without a transpose
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().T for layer in layers]).contiguous())
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers])[:, None])

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)

    def give(self, layer: nn.Linear, member: int) -> None:
        _fill(layer.weight, self.weight[member].T)
        _fill(layer.bias, self.bias[member, 0])


class _Conv(nn.Module):
    """A convolution with S groups over images whose channels are those of the S members in a row."""

    def __init__(self, layers: Sequence[nn.Conv2d]) -> None:
        super().__init__()
        first = layers[0]
        if first.groups != 1 or first.padding_mode != "zeros":
            raise TypeError(f"convolutions must have one group and zero padding to be stacked, got {first}")
        weight = torch.cat([layer.weight.detach() for layer in layers])
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
        self.bias = nn.Parameter(torch.cat(biases)) if biases else None
        self.members = len(layers)
        self.stride, self.padding, self.dilation = first.stride, first.padding, first.dilation

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.members)

    def give(self, layer: nn.Conv2d, member: int) -> None:
        _fill(layer.weight, self.weight.chunk(self.members)[member])
        if self.bias is not None and layer.bias is not None:
            _fill(layer.bias, self.bias.chunk(self.members)[member])


class _Norm(nn.Module):
    """Batch normalisation of S times as many channels: exact, as it treats each channel on its own."""

    def __init__(self, layers: Sequence[nn.BatchNorm2d]) -> None:
        super().__init__()
        first = layers[0]
        self.members = len(layers)
        self.norm = copy.deepcopy(first)
        self.norm.num_features = first.num_features * len(layers)
        for name, value in [*first.named_parameters(), *first.named_buffers()]:
            if value.ndim:
                together = torch.cat([getattr(layer, name).detach() for layer in layers])
                setattr(self.norm, name, nn.Parameter(together) if isinstance(value, nn.Parameter) else together)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)

    def give(self, layer: nn.BatchNorm2d, member: int) -> None:
        for name, value in [*layer.named_parameters(), *layer.named_buffers()]:
            mine = getattr(self.norm, name)
            _fill(value, mine.chunk(self.members)[member] if mine.ndim else mine)


class _Gather(nn.Module):
    """(S, B, C, H, W) to (B, S * C, H, W), so that the members' channels lie beside each other."""

    def forward(self, x: Tensor) -> Tensor:
        joined = x.transpose(0, 1).flatten(1, 2)
        return joined.contiguous(memory_format=torch.channels_last)


class _Scatter(nn.Module):
    """(B, S * C, H, W) to (S, B, features), in the order the single encoder flattens in."""

    def __init__(self, members: int, last: bool) -> None:
        super().__init__()
        self.members, self.last = members, last

    def forward(self, x: Tensor) -> Tensor:
        if not self.last:
            return x.unflatten(1, (self.members, -1)).transpose(0, 1).flatten(2)
        # merge height and width first: the gradient then comes back in channels_last and the layers before are faster
        rows = x.permute(0, 2, 3, 1).flatten(1, 2).unflatten(2, (self.members, -1))
        return rows.permute(2, 0, 1, 3).flatten(2)


def _stack_layers(chains: Sequence[nn.Sequential], name: str) -> nn.Sequential:
    """One stacked layer for each layer of a chain; images are gathered before the first, scattered when flattened."""
    layers: list[nn.Module] = []
    images = any(isinstance(layer, nn.Conv2d) for layer in chains[0])
    for i, peers in enumerate(zip(*chains, strict=True)):
        layer: nn.Module
        if isinstance(peers[0], nn.Linear):
            layer = _Linear(peers)
        elif isinstance(peers[0], nn.Conv2d):
            layer = _Conv(peers)
        elif isinstance(peers[0], nn.BatchNorm2d):
            layer = _Norm(peers)
        elif isinstance(peers[0], nn.Flatten | FlattenLast):
            layer = _Scatter(len(chains), isinstance(peers[0], FlattenLast)) if images else nn.Flatten(2)
        elif isinstance(peers[0], nn.ReLU | nn.GELU | nn.Tanh | nn.Identity):
            layer = copy.deepcopy(peers[0])
        else:
            raise TypeError(f"{name}[{i}] must be a layer that can be stacked, got {type(peers[0]).__name__}")
        layers.append(layer)
    return _Chain(_Gather() if images else nn.Identity(), layers)


class _Chain(nn.Sequential):
    """Layers that match those of one member one by one, after a first rearrangement of the input."""

    def __init__(self, enter: nn.Module, layers: list[nn.Module]) -> None:
        super().__init__(*layers)
        self._enter = (enter,)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self._enter[0](x))


def _fill(target: Tensor, value: Tensor) -> None:
    """Copy values in, taking the dtype and device of the stack."""
    target.data = torch.empty_like(target, dtype=value.dtype, device=value.device).copy_(value.detach())
