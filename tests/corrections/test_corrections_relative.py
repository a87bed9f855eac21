"""Relative representations: loops, closed forms, invariances, scikit-learn's own checks, dtypes, bad input."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.utils.estimator_checks import check_estimator

import lab.corrections.transformer as transformer
from lab.corrections import RelativeRepresentation

BOTH = pytest.mark.parametrize("center", [False, True])


def cloud(n, d, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + 2 * rng.normal(size=d)


def rotation(d, seed=1):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


@pytest.mark.filterwarnings("ignore")
@BOTH
def test_scikit_learn_finds_no_fault(center):
    for result in check_estimator(RelativeRepresentation(center), on_fail=None):
        assert result["status"] in ("passed", "skipped"), (result["check_name"], result["exception"])


def test_known_angles():
    anchors = np.array([[2.0, 0.0], [0.0, 0.5], [-3.0, 3.0]])
    half = math.sqrt(0.5)
    found = RelativeRepresentation().fit(anchors).transform(np.array([[5.0, 0.0], [1.0, 1.0]]))
    np.testing.assert_allclose(found, [[1, 0, -half], [half, half, 0]], atol=1e-12)


@BOTH
def test_a_loop_over_rows_and_anchors_and_scikit_learn_agree(center, monkeypatch):
    monkeypatch.setattr(transformer, "BLOCK", 7)
    rows, anchors = cloud(30, 5, 0), cloud(8, 5, 1)
    shift = sum(anchors) / 8 if center else np.zeros(5)
    expected = [
        [
            sum(p * q for p, q in zip(x - shift, a - shift, strict=True)) / (math.dist(x, shift) * math.dist(a, shift))
            for a in anchors
        ]
        for x in rows
    ]
    found = RelativeRepresentation(center).fit(anchors).transform(rows)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(found, cosine_similarity(rows - shift, anchors - shift), atol=1e-12)


@BOTH
def test_rotating_and_scaling_the_space_changes_nothing_and_a_shift_only_without_centring(center):
    rows, anchors, turned = cloud(30, 5, 0), cloud(8, 5, 1), rotation(5)
    wanted = RelativeRepresentation(center).fit(anchors).transform(rows)
    turned_rows = RelativeRepresentation(center).fit(-3 * anchors @ turned).transform(-3 * rows @ turned)
    np.testing.assert_allclose(turned_rows, wanted, atol=1e-12)
    moved = RelativeRepresentation(center).fit(anchors + 4).transform(rows + 4)
    assert np.allclose(moved, wanted, atol=1e-9) == center


def test_the_length_of_rows_and_anchors_does_not_count():
    rows, anchors = cloud(30, 5, 0), cloud(8, 5, 1)
    lengths = np.random.default_rng(2).uniform(1e-3, 1e3, size=(38, 1))
    found = RelativeRepresentation().fit(anchors * lengths[:8]).transform(rows * lengths[8:])
    np.testing.assert_allclose(found, RelativeRepresentation().fit(anchors).transform(rows), atol=1e-12)


def test_the_order_of_the_anchors_is_the_order_of_the_columns():
    rows, anchors = cloud(30, 5, 0), cloud(8, 5, 1)
    order = np.random.default_rng(3).permutation(8)
    found = RelativeRepresentation().fit(anchors[order]).transform(rows)
    np.testing.assert_allclose(found, RelativeRepresentation().fit(anchors).transform(rows)[:, order], atol=1e-12)


def test_spaces_of_unequal_width_meet():
    rows, anchors = cloud(30, 5, 0), cloud(8, 5, 1)
    embed = rotation(9)[:5]  # an isometry into nine dimensions
    found = RelativeRepresentation().fit(anchors @ embed).transform(rows @ embed)
    np.testing.assert_allclose(found, RelativeRepresentation().fit(anchors).transform(rows), atol=1e-12)


def test_tensors_stay_tensors_and_half_precision_becomes_single():
    rows, anchors = torch.as_tensor(cloud(30, 5, 0)), torch.as_tensor(cloud(8, 5, 1))
    wide = RelativeRepresentation().fit(anchors).transform(rows)
    assert wide.dtype == torch.float64 and wide.shape == (30, 8)
    single = RelativeRepresentation().fit(anchors.float()).transform(rows.half())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), wide, atol=2e-3, rtol=0)


def test_a_row_without_direction():
    fitted = RelativeRepresentation().fit(np.eye(3))
    with pytest.warns(RuntimeWarning, match="1 zero row"):
        assert not fitted.transform(np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))[0].any()
    centred = RelativeRepresentation(center=True).fit(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]))
    assert not centred.transform(np.zeros((1, 2))).any()


def test_names_of_the_columns():
    fitted = RelativeRepresentation().fit(np.eye(3)[:2])
    assert list(fitted.get_feature_names_out()) == ["relativerepresentation0", "relativerepresentation1"]


@pytest.mark.parametrize(
    ("act", "error", "match"),
    [
        (lambda: RelativeRepresentation(center="yes").fit(np.eye(3)), TypeError, "center"),
        (lambda: RelativeRepresentation().fit(np.array([[1.0, np.nan]])), ValueError, "NaN"),
        (lambda: RelativeRepresentation().fit(np.eye(3)).transform(np.eye(2)), ValueError, "features"),
        (lambda: RelativeRepresentation().fit(np.ones(3)), ValueError, "2D"),
    ],
)
def test_bad_input_is_refused(act, error, match):
    with pytest.raises(error, match=match):
        act()
