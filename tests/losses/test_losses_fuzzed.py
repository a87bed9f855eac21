"""Every public loss under inputs that go wrong: a finite value with a finite gradient, or a ``ValueError``."""

from __future__ import annotations

import inspect
import runpy
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lab.losses

TOOLS = runpy.run_path(str(Path(__file__).with_name("collect_examples.py")))
EXAMPLES, ROWS = TOOLS["collect"]()
# What stands in lab.losses and is no loss: parts with tests of their own, pairs, bounds, the wrapper for ranks.
NO_LOSSES = {
    *("across_ranks", "gather", "by_index", "by_label", "collision_bound", "temperature_penalty", "best_temperature"),
    *("back_translation", "class_codes", "contextual_similarity", "continuous_weights", "kept_by_guide", "simplex"),
    *("multilinear_product", "multilinear_scores", "nearest_centres", "prototypes", "sinkhorn", "soft_sort"),
    *("soft_top_k", "whiten"),
}
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
TROUBLE = ["none", "nan", "infinity", "zero row", "equal rows", "one row", "cut", "empty", "integers", "huge", "tiny"]


def floats(value):
    """All floating tensors inside an argument."""
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in floats(item)]
    return []


def troubled(x, trouble):
    """A tensor with one thing wrong."""
    x = x.clone()
    if trouble == "nan":
        x.view(-1)[0] = torch.nan
    elif trouble == "infinity":
        x.view(-1)[-1] = torch.inf
    elif trouble == "zero row" and x.ndim > 1:
        x[..., 0, :] = 0
    elif trouble == "equal rows" and x.ndim > 1:
        x[...] = x[..., :1, :]
    elif trouble == "one row" and x.ndim > 1:
        x = x[..., :1, :]
    elif trouble == "cut":
        x = x[..., :-1, :] if x.ndim > 1 else x[:-1]
    elif trouble == "empty":
        x = x[..., :0, :] if x.ndim > 1 else x[:0]
    elif trouble == "integers":
        x = x.long()
    elif trouble == "huge":
        x = x * 1e4
    elif trouble == "tiny":
        x = x * 1e-4
    return x


def fits(gradient, dtype):
    """Whether numbers computed in float32 can be written in a narrower dtype at all."""
    return bool((gradient.abs() < torch.finfo(dtype).max).all())


def gradients_of(name, arguments):
    """Value, leaves and their gradients; None for the value of a call that was refused."""
    loss = getattr(lab.losses, name)
    leaves = []

    def ready(value):
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            leaves.append(value.detach().clone().requires_grad_())
            return leaves[-1]
        return type(value)(ready(item) for item in value) if isinstance(value, list | tuple) else value

    made = {key: ready(value) for key, value in arguments.items()}
    value = TOOLS["value_of"](loss(**made))
    gradients = torch.autograd.grad(value.sum(), leaves, allow_unused=True) if value.requires_grad else []
    return value, gradients


def check(name, arguments):
    """Finite value and gradient, or an error that says which argument."""
    loss = getattr(lab.losses, name)
    try:
        value, gradients = gradients_of(name, arguments)
    except ValueError as error:
        assert any(word in str(error) for word in inspect.signature(loss).parameters), f"{name}: {error}"
        return None
    assert torch.isfinite(value).all(), f"{name} gave {value}"
    for at, gradient in enumerate(gradients):
        if gradient is not None and not torch.isfinite(gradient).all():
            # The gradient of short or long rows may have no place in the range of half precision; then and only then.
            wide = {key: TOOLS["cast"](value, torch.float32) for key, value in arguments.items()}
            truth = gradients_of(name, wide)[1][at]
            assert torch.isfinite(truth).all() and not fits(truth, gradient.dtype), f"{name}: gradient {gradient}"
    return value


def test_every_public_loss_is_among_the_examples():
    public = {name for name in lab.losses.__all__ if inspect.isfunction(getattr(lab.losses, name))}
    assert public - set(EXAMPLES) - NO_LOSSES == set()
    assert set(EXAMPLES) - public == set()
    assert NO_LOSSES - public == set()


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) & set(dir(lab.losses))))
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 10**6),
    half=st.integers(2, 6),
    columns=st.integers(1, 9),
    dtype=st.sampled_from(DTYPES),
    trouble=st.sampled_from(TROUBLE),
    which=st.integers(0, 5),
    temperature=st.sampled_from([None, 0.005, 0.05, 1.0, 10.0, 0.0, -1.0, float("nan"), float("inf")]),
)
def test_finite_or_refused(name, seed, half, columns, dtype, trouble, which, temperature):
    arguments = EXAMPLES[name](torch.Generator().manual_seed(seed), 2 * half, columns)
    arguments = {key: TOOLS["cast"](value, dtype) for key, value in arguments.items()}
    tensors = [key for key, value in arguments.items() if floats(value)]
    if tensors:
        key = tensors[which % len(tensors)]
        value = arguments[key]
        arguments[key] = (
            [troubled(value[0], trouble), *value[1:]] if isinstance(value, list | tuple) else troubled(value, trouble)
        )
    if temperature is not None:
        for key in arguments:
            if "temperature" in key and isinstance(arguments[key], int | float):
                arguments[key] = temperature
    try:
        check(name, arguments)
    except TypeError as error:
        # Integers where directions are asked are the wrong kind of thing, not a wrong value.
        assert trouble == "integers", f"{name}: {error}"


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) & set(dir(lab.losses))))
def test_good_rows_give_a_finite_loss_at_any_usual_temperature(name):
    for dtype in DTYPES:
        arguments = EXAMPLES[name](torch.Generator().manual_seed(11), 8, 6)
        arguments = {key: TOOLS["cast"](value, dtype) for key, value in arguments.items()}
        scales = [key for key in arguments if "temperature" in key and isinstance(arguments[key], int | float)]
        for temperature in (0.005, 0.07, 10.0) if scales else (None,):
            assert check(name, arguments | dict.fromkeys(scales, temperature)) is not None


LABELLED = [
    name
    for name in sorted(EXAMPLES)
    if "labels" in EXAMPLES[name](torch.Generator().manual_seed(0), 8, 4) and name in lab.losses.__all__
]


@pytest.mark.parametrize("name", LABELLED)
def test_labels_of_a_wrong_kind_or_length_are_refused_by_name(name):
    arguments = EXAMPLES[name](torch.Generator().manual_seed(0), 8, 4)
    labels = arguments["labels"]
    for wrong in (labels.double() + 0.5, labels[:-1], labels * 1j, ["a"] * len(labels)):
        with pytest.raises(ValueError, match="labels"):
            TOOLS["value_of"](getattr(lab.losses, name)(**arguments | {"labels": wrong}))


@pytest.mark.parametrize("name", LABELLED)
def test_one_class_is_finite_or_refused_by_name(name):
    arguments = EXAMPLES[name](torch.Generator().manual_seed(0), 8, 4)
    arguments["labels"] = torch.zeros_like(arguments["labels"])
    check(name, arguments)


MASKED = sorted(name for name in EXAMPLES if "mask" in inspect.signature(getattr(lab.losses, name)).parameters)


@pytest.mark.parametrize("name", MASKED)
def test_a_mask_that_leaves_nothing_or_is_none_is_refused_by_name(name):
    arguments = EXAMPLES[name](torch.Generator().manual_seed(0), 8, 4)
    sizes = {len(value) for value in arguments.values() if isinstance(value, torch.Tensor) and value.ndim} | {8}
    # nothing left, numbers in place of true and false, a list in place of a tensor
    for wrong in (
        lambda n: torch.zeros(8, n, dtype=torch.bool),
        lambda n: torch.ones(8, n),
        lambda n: torch.ones(8, n, dtype=torch.bool).tolist(),
    ):
        refused = []
        for columns in sorted(sizes):
            with pytest.raises((ValueError, TypeError)) as error:
                getattr(lab.losses, name)(**arguments, mask=wrong(columns))
            refused.append(str(error.value))
        assert any("mask" in message for message in refused)
