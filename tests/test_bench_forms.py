"""What `lab bench training` sets side by side is the same training, so that only the loops differ."""

from __future__ import annotations

import pytest
import torch

from lab.bench import training_forms
from lab.bench.training_forms import prepare


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(training_forms, "STEPS", 4)
    monkeypatch.setattr(training_forms, "BATCH", 16)


def test_the_bare_loop_and_ours_have_the_same_losses():
    ours, plain = prepare("loop", "lab", 64)(), prepare("loop", "bare", 64)()
    torch.testing.assert_close(ours.loss, plain, rtol=1e-5, atol=1e-6)


def test_a_stack_has_the_losses_of_its_single_runs():
    together, single = prepare("seeds", "lab", 64)(), prepare("seeds", "one by one", 64)()
    each = torch.stack([history.loss for history in single], 1)
    torch.testing.assert_close(together.loss, each, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["lab", "pytorch-metric-learning"])
def test_the_loops_with_labels_run_and_print_nothing(form, capfd):
    if form != "lab":
        pytest.importorskip("pytorch_metric_learning")
    prepare("labels", form, 64)()
    assert capfd.readouterr() == ("", "")


def test_an_unknown_comparison_is_refused():
    with pytest.raises(ValueError, match="no comparison 'loop' with form 'best'"):
        prepare("loop", "best", 64)
