"""Every loss on the meta device, which knows shapes and devices but no values.

There a tensor made on the wrong device meets one on the right device and is an error, and so is every look at a value,
which on an accelerator would make the host wait for the step before it can go on.
"""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

import lab.losses
from lab.geometry import fails, unlooked

EXAMPLES, ROWS = runpy.run_path(str(Path(__file__).with_name("collect_examples.py")))["collect"]()
# How many classes a batch has decides about the shape of what they compute, and shapes are known to the host.
WAITS = {
    "angular_prototypical",
    "coding_rate_reduction",
    "mean_classifier_loss",
    "nc1_loss",
    "proto_triplet",
    "protonet",
}


def on_meta(value):
    if isinstance(value, torch.Tensor):
        return value.detach().to("meta").requires_grad_(value.is_floating_point())
    if isinstance(value, list | tuple) and any(isinstance(part, torch.Tensor) for part in value):
        return type(value)(on_meta(part) for part in value)
    return value


def attempt(name):
    arguments = {key: on_meta(value) for key, value in EXAMPLES[name](torch.Generator().manual_seed(0), 8, 6).items()}
    with unlooked():
        result = getattr(lab.losses, name)(**arguments)
        result = getattr(result, "loss", result)
        value = result if isinstance(result, torch.Tensor) else sum(part.sum() for part in result)
        assert value.device.type == "meta"
        if value.requires_grad:
            value.sum().backward()


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - WAITS))
def test_a_loss_needs_no_value_from_the_device(name):
    attempt(name)


@pytest.mark.parametrize("name", sorted(WAITS))
def test_a_loss_whose_shapes_hang_on_labels_does(name):
    with pytest.raises(NotImplementedError):
        attempt(name)


def test_outside_the_block_values_are_looked_at():
    with pytest.raises(RuntimeError, match="meta"):
        fails(torch.ones(2, device="meta") > 0)
    with unlooked():
        assert not fails(torch.ones(2, device="meta") > 0)
        with unlooked():
            pass
        assert not fails(torch.ones(2, device="meta") > 0)
    with unlooked(False), pytest.raises(RuntimeError, match="meta"):
        fails(torch.ones(2, device="meta") > 0)


def test_an_error_inside_the_block_closes_it():
    with pytest.raises(KeyError), unlooked():
        raise KeyError
    with pytest.raises(RuntimeError, match="meta"):
        fails(torch.ones(2, device="meta") > 0)


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - WAITS))
def test_unlooked_forms_give_the_same_value_and_gradient(name, monkeypatch):
    """What a loss does on an accelerator, where it may not look, done on the CPU."""
    arguments = EXAMPLES[name](torch.Generator().manual_seed(1), 8, 6)

    def outcome():
        leaves = []

        def own(value):
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                leaves.append(value.detach().double().requires_grad_())
                return leaves[-1]
            if isinstance(value, list | tuple) and any(isinstance(part, torch.Tensor) for part in value):
                return type(value)(own(part) for part in value)
            if isinstance(value, torch.Generator):
                return torch.Generator().manual_seed(7)
            return value

        result = getattr(lab.losses, name)(**{key: own(value) for key, value in arguments.items()})
        result = getattr(result, "loss", result)
        value = result if isinstance(result, torch.Tensor) else sum(part.sum() for part in result)
        if not value.requires_grad:
            return value, []
        return value.detach(), torch.autograd.grad(value.sum(), leaves, allow_unused=True)

    torch.manual_seed(3)
    value, gradients = outcome()
    monkeypatch.setattr("lab.geometry.is_seen", lambda x: False)
    torch.manual_seed(3)
    unseen, others = outcome()
    torch.testing.assert_close(unseen, value)
    for ours, theirs in zip(gradients, others, strict=True):
        torch.testing.assert_close(theirs, ours)
