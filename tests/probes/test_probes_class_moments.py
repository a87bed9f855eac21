"""Neural collapse over batches: equal to one call on all rows, in bounded memory."""

import math

import pytest
import torch

from lab.probes.class_geometry import nc2
from lab.probes.class_means import class_centres
from lab.probes.class_moments import ClassMoments
from lab.probes.collapse import nc1
from lab.probes.self_duality import CentreAgreement, nc3, nc4

VARIANTS = ("trace", "quotient", "cdnv")


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unequal(seed=0, d=7, counts=(5, 9, 2, 14)):
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate(counts)])
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    x = random(len(labels), d, seed=seed) + 2 * random(len(counts), d, seed=seed + 1)[labels] + 3
    return x[order], labels[order]


def close(a, b, rel=1e-10):
    for name in ("nc1_trace", "nc1_quotient", "cdnv"):
        assert getattr(a, name).value == pytest.approx(getattr(b, name).value, rel=rel), name
        assert getattr(a, name).null == pytest.approx(getattr(b, name).null, rel=1e-12), name
    for name in ("value", "equinorm", "equiangle", "cosine_mean", "frame"):
        assert getattr(a.nc2, name) == pytest.approx(getattr(b.nc2, name), rel=rel, abs=1e-12), name


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("weighting", ["classes", "samples"])
@pytest.mark.parametrize("d", [3, 7])
def test_batches_and_merged_parts_equal_one_call_on_all_rows(offset, weighting, d):
    x, labels = unequal(d=d)
    x = x + offset
    counts = labels.bincount()
    moments = [ClassMoments(4, d, class_counts=counts, block=5) for _ in range(3)]
    for i in range(0, len(x), 4):
        moments[0].update(x[i : i + 4], labels[i : i + 4])
        moments[1 + (i > 12)].update(x[i : i + 4], labels[i : i + 4])
    weights = random(4, d, seed=4)
    report = moments[0].report(weights, weighting=weighting)
    for variant in VARIANTS:
        one = nc1(x, labels, variant=variant, weighting=weighting)
        got = {"trace": report.nc1_trace, "quotient": report.nc1_quotient, "cdnv": report.cdnv}[variant]
        assert got.value == pytest.approx(one.value, rel=1e-10)
        assert got.null == pytest.approx(one.null, rel=1e-12)
    one = nc2(x, labels, weighting=weighting)
    for name in ("value", "equinorm", "equiangle", "cosine_mean", "frame"):
        assert getattr(report.nc2, name) == pytest.approx(getattr(one, name), rel=1e-10, abs=1e-13), name
    known = counts if weighting == "samples" else None
    assert report.nc3.value == pytest.approx(nc3(weights, class_centres(x, labels), counts=known).value, rel=1e-10)
    close(moments[1].merge(moments[2]).report(weighting=weighting), report)
    close(ClassMoments(4, d, class_counts=counts).merge(moments[0]).report(weighting=weighting), report)
    close(moments[0].merge(ClassMoments(4, d, class_counts=counts)).report(weighting=weighting), report)
    torch.testing.assert_close(moments[0].centres, class_centres(x, labels), rtol=1e-14, atol=1e-12)


def test_a_second_pass_counts_nc4_as_one_call_does():
    x, labels = unequal()
    logits = random(len(x), 4)
    centres = ClassMoments(4, 7).update(x, labels).centres
    parts = [CentreAgreement(centres), CentreAgreement(centres)]
    for i in range(0, len(x), 4):
        parts[i > 8].update(logits[i : i + 4], x[i : i + 4])
    assert parts[0].merge(parts[1]).report() == nc4(logits, x, labels)


def test_many_small_batches_far_from_zero_lose_no_digits():
    """Sums of squares taken directly would have no digit left at this offset; float64 rows carry eight."""
    labels = torch.arange(6000) % 3
    x = random(6000, 4) + torch.tensor([0.0, 1, 2])[labels, None] + 2.0**26
    moments = ClassMoments(3, 4)
    for i in range(0, 6000, 50):
        moments.update(x[i : i + 50], labels[i : i + 50])
    here = x - 2.0**26
    for offset_report in (moments.report(), ClassMoments(3, 4).update(x, labels).report()):
        assert offset_report.nc1_trace.value == pytest.approx(nc1(here, labels).value, rel=1e-8)
        assert offset_report.cdnv.value == pytest.approx(nc1(here, labels, variant="cdnv").value, rel=1e-10)


def test_unequal_classes_need_their_counts_beforehand_to_weigh_alike():
    x, labels = unequal()
    moments = ClassMoments(4, 7).update(x, labels)
    with pytest.raises(ValueError, match="class_counts"):
        moments.report()
    assert moments.report(weighting="samples").rows == 30
    with pytest.raises(ValueError, match="class_counts"):
        ClassMoments(4, 7, class_counts=[5, 9, 2, 15]).update(x, labels).report()
    with pytest.raises(ValueError, match="class_counts"):
        moments.merge(ClassMoments(4, 7, class_counts=[5, 9, 2, 14]))


def test_absent_classes_are_left_out_and_said():
    x, labels = unequal()
    report = ClassMoments(6, 7).update(x, labels + (labels > 1) * 2).report(torch.ones(6, 7), weighting="samples")
    assert (report.classes, report.rows) == (4, 30)
    assert "2 of 6 classes" in report.warnings[0]
    assert report.nc1_trace.value == pytest.approx(nc1(x, labels, weighting="samples").value, rel=1e-10)
    with pytest.raises(ValueError, match="class 5"):
        ClassMoments(6, 7).update(x, labels).update(x[:1], [4]).centres  # noqa: B018


def test_no_tensor_beyond_blocks_means_and_the_scatter(largest_tensor):
    x, labels = torch.randn(3000, 6), torch.arange(3000) % 1000
    with largest_tensor() as seen:
        for variant in VARIANTS:
            nc1(x, labels, variant=variant, block=100)
        nc2(x, labels, block=100)
        ClassMoments(1000, 6, block=100).update(x, labels).report(torch.randn(1000, 6))
    assert seen.numbers <= 512 * 1000  # blocks of the 1000 x 1000 cosines of class means, never all of them
    with largest_tensor() as seen:
        ClassMoments(10, 20, block=50).update(torch.randn(3000, 20), labels % 10).report()
    assert seen.numbers <= 3000 * 20


def test_bad_input_names_its_argument():
    for call, word in (
        (lambda: CentreAgreement(torch.eye(2)).update(torch.ones(2, 3), torch.eye(2)), "logits"),
        (lambda: CentreAgreement(torch.eye(2)).update(torch.ones(2, 2), torch.ones(2, 3)), "features"),
        (lambda: CentreAgreement(torch.eye(2)).report(), "features"),
        (lambda: CentreAgreement(torch.eye(2)).merge(CentreAgreement(2 * torch.eye(2))), "other"),
        (lambda: ClassMoments(1, 2), "classes"),
        (lambda: ClassMoments(2, 2, class_counts=[1]), "class_counts"),
        (lambda: ClassMoments(2, 2).update(torch.ones(1, 3), [0]), "features"),
        (lambda: ClassMoments(2, 2).update(torch.ones(1, 2), [2]), "labels"),
        (lambda: ClassMoments(2, 2).update(torch.ones(1, 2), [0]).report(), "labels"),
        (lambda: ClassMoments(2, 2).merge(ClassMoments(2, 3)), "other"),
        (lambda: ClassMoments(2, 2).update(torch.eye(2), [0, 1]).report(torch.ones(2, 3)), "weights"),
    ):
        with pytest.raises(ValueError, match=word):
            call()


def test_a_refused_batch_leaves_no_trace():
    x, labels = unequal()
    moments = ClassMoments(4, 7).update(x, labels)
    before = moments.report(weighting="samples")
    for rows, numbers in ((x, labels + 1), (x[:, :3], labels), (x * math.nan, labels)):
        with pytest.raises(ValueError):
            moments.update(rows, numbers)
    assert moments.report(weighting="samples") == before
