"""Mean cosine, cone, lengths and the cone of a random network against closed forms and loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lab.probes.cone import cone_statistics, mean_cosine, relu_cone
from lab.probes.norms import norm_statistics


def gaussian(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(d: int, seed: int = 9) -> torch.Tensor:
    return torch.linalg.qr(gaussian(d, d, seed)).Q


def test_a_simplex_an_orthonormal_frame_and_equal_rows():
    simplex = torch.eye(8, dtype=torch.float64) - 1 / 8
    assert mean_cosine(simplex) == pytest.approx(-1 / 7, rel=1e-12)
    assert mean_cosine(torch.eye(8)) == pytest.approx(0, abs=1e-15)
    assert mean_cosine(torch.full((5, 3), 2.0)) == pytest.approx(1, rel=1e-12)
    frame = cone_statistics(torch.eye(16, dtype=torch.float64))
    assert frame.resultant == pytest.approx(1 / 4, rel=1e-12)  # 1 / sqrt(16)
    assert frame.opening == pytest.approx(math.degrees(math.acos(0.25)), rel=1e-12)
    assert frame.deviation == pytest.approx(0, abs=1e-12)


def test_mean_cosine_equals_a_loop_over_pairs_and_leaves_the_diagonal_out():
    x = gaussian(9, 4) + 0.5
    rows = x.tolist()
    cosines = []
    for i in range(9):
        for j in range(9):
            if i != j:
                dot = sum(a * b for a, b in zip(rows[i], rows[j], strict=True))
                cosines.append(dot / math.hypot(*rows[i]) / math.hypot(*rows[j]))
    expected = sum(cosines) / len(cosines)
    assert mean_cosine(x) == pytest.approx(expected, rel=1e-12)
    assert mean_cosine(x, block=2) == pytest.approx(expected, rel=1e-12)
    assert abs((sum(cosines) + 9) / 81 - expected) > 0.01  # what the diagonal would have added


def test_resultant_is_the_mean_cosine_to_the_mean_direction_and_the_quantiles_are_of_a_loop():
    x = gaussian(40, 5) + torch.tensor([1.0, 0, 0, 0, 0])
    unit = (x / x.norm(dim=1, keepdim=True)).numpy()
    mean = np.array([sum(unit[i][c] for i in range(40)) / 40 for c in range(5)])
    to_mean = np.array([float(u @ mean) / math.hypot(*mean) for u in unit])
    found = cone_statistics(x, share=0.9, block=7)
    assert found.resultant == pytest.approx(float(to_mean.mean()), rel=1e-12)
    assert found.deviation == pytest.approx(float(to_mean.std()), rel=1e-12)
    np.testing.assert_allclose(found.cosines.numpy(), to_mean, rtol=1e-12)
    assert found.opening == pytest.approx(math.degrees(math.acos(np.quantile(to_mean, 0.1))), rel=1e-12)
    assert found.quantiles[0.25] == pytest.approx(np.quantile(to_mean, 0.25), rel=1e-12)
    assert float(found) == found.value == pytest.approx(mean_cosine(x), rel=1e-12)


def test_nulls_hold_for_uniform_rows():
    found = [cone_statistics(gaussian(100, 16, seed)) for seed in range(200)]
    values = np.array([f.value for f in found])
    assert abs(values.mean()) < 3 * found[0].null_deviation / math.sqrt(200)
    assert values.std() == pytest.approx(found[0].null_deviation, rel=0.2)
    assert math.sqrt(np.mean([f.resultant**2 for f in found])) == pytest.approx(found[0].resultant_null, rel=0.05)
    large = cone_statistics(gaussian(4000, 32, 3))
    assert large.opening == pytest.approx(large.opening_null, abs=0.5)
    assert "random rows" in large.warnings[0]
    assert cone_statistics(gaussian(500, 8) + 1).warnings == ()


def test_a_known_cone_has_its_opening():
    angle = math.radians(20)
    turn = torch.arange(50, dtype=torch.float64) * 2 * math.pi / 50
    rim = torch.stack(
        [turn.cos() * math.sin(angle), turn.sin() * math.sin(angle), torch.full_like(turn, math.cos(angle))]
    )
    found = cone_statistics(rim.T)
    assert found.opening == pytest.approx(20, abs=1e-6)
    assert found.resultant == pytest.approx(math.cos(angle), rel=1e-12)
    # sum over pairs by hand: cos^2 + sin^2 * (mean of cos of different turns)
    expected = math.cos(angle) ** 2 - math.sin(angle) ** 2 / 49
    assert found.value == pytest.approx(expected, rel=1e-12)


def test_rotation_permutation_and_lengths_leave_the_cone_alone():
    x = gaussian(60, 6) + 0.3
    base = cone_statistics(x)
    lengths = torch.rand(60, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.1
    for other in (x @ rotation(6), x.flip(0), x * lengths, x * 1e-30, x.numpy()):
        found = cone_statistics(other)
        assert found.value == pytest.approx(base.value, rel=1e-10)
        assert found.opening == pytest.approx(base.opening, rel=1e-10)
    assert abs(cone_statistics(x - x.mean(0)).value - base.value) > 0.01  # nothing was centred


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float16, 1e-3)])
def test_precisions_agree(dtype, tolerance):
    x = gaussian(300, 24) + 0.2
    assert mean_cosine(x.to(dtype)) == pytest.approx(mean_cosine(x), abs=tolerance)
    assert cone_statistics(x.to(dtype)).opening == pytest.approx(cone_statistics(x).opening, abs=100 * tolerance)
    assert norm_statistics(x.to(dtype)).value == pytest.approx(norm_statistics(x).value, abs=tolerance)


def test_the_cone_of_a_random_relu_network():
    expected = [0.318, 0.494, 0.605, 0.681, 0.736, 0.777, 0.809, 0.834, 0.855, 0.872]
    assert [round(r, 3) for r in relu_cone(10)] == expected
    assert relu_cone(3, start=1.0) == (1.0, 1.0, 1.0) and relu_cone(1, start=-1.0)[0] == pytest.approx(0)
    assert relu_cone(2, start=relu_cone(3)[-1]) == relu_cone(5)[3:]
    width, x = 1024, torch.nn.functional.normalize(gaussian(32, 1024), dim=1)
    for predicted in relu_cone(4):
        weights = gaussian(x.shape[1], width, seed=round(predicted * 1000)) * math.sqrt(2 / width)
        x = (x @ weights).relu()
        assert mean_cosine(x) == pytest.approx(predicted, abs=0.03)


def test_lengths_against_numpy_and_their_null():
    x = gaussian(5000, 12) * 3
    found = norm_statistics(x, block=999)
    lengths = np.sqrt((x.numpy() ** 2).sum(1))
    assert found.mean == pytest.approx(lengths.mean(), rel=1e-12)
    assert found.deviation == pytest.approx(lengths.std(), rel=1e-12)
    assert found.value == pytest.approx(lengths.std() / lengths.mean(), rel=1e-12)
    assert found.quantiles[0.95] == pytest.approx(np.quantile(lengths, 0.95), rel=1e-12)
    assert found.value == pytest.approx(found.null, rel=0.03)  # five standard errors, 1 / sqrt(2 N) each
    assert norm_statistics(gaussian(3, 768)).null == pytest.approx(1 / math.sqrt(2 * 768), rel=1e-3)
    assert norm_statistics(gaussian(3, 1)).null == pytest.approx(math.sqrt(math.pi / 2 - 1), rel=1e-12)
    inner = norm_statistics(x, fence=1.5)
    assert inner.outlier_null == pytest.approx(0.00697660, rel=1e-5)  # the well-known 0.7% of Tukey's inner fences
    assert 0.002 < inner.outlier_share < 0.012


def test_outlying_and_zero_rows_are_counted_and_rounding_is_not():
    unit = torch.nn.functional.normalize(gaussian(1000, 8), dim=1)
    assert norm_statistics(unit).outlier_share == 0 and norm_statistics(unit.float()).outlier_share == 0
    some = unit.clone()
    some[3] *= 5
    some[7] = 0
    found = norm_statistics(some)
    assert found.outlier_share == pytest.approx(2 / 1000) and found.n_zero == 1
    assert "first row 7" in found.warnings[0]
    assert found.largest == pytest.approx(5) and found.smallest == 0


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_lengths_of_extreme_size(scale):
    x = gaussian(50, 4)
    assert norm_statistics(x * scale).value == pytest.approx(norm_statistics(x).value, rel=1e-12)


def test_no_matrix_of_pairs_is_held(largest_tensor):
    x = gaussian(3000, 8)
    with largest_tensor() as watch:
        cone_statistics(x)
        norm_statistics(x)
    assert watch.numbers <= 3000 * 8


def test_a_memory_mapped_file_is_read_and_left_alone(tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, gaussian(500, 6).numpy().astype(np.float16))
    before = path.read_bytes()
    mapped = np.load(path, mmap_mode="r")
    assert mean_cosine(mapped, block=64) == pytest.approx(mean_cosine(np.load(path)), rel=1e-12)
    assert norm_statistics(mapped).n_rows == 500
    assert path.read_bytes() == before


def test_bad_input():
    x = gaussian(6, 3)
    with pytest.raises(ValueError, match="x must have at least 2 rows"):
        mean_cosine(x[:1])
    with pytest.raises(ValueError, match="x must have shape"):
        cone_statistics(x[0])
    with pytest.raises(ValueError, match=r"x has a zero row.*row 0 \(counted from row 4\)"):
        mean_cosine(torch.cat([x[:4], torch.zeros(1, 3, dtype=torch.float64)]), block=4)
    with pytest.raises(ValueError, match="x holds NaN"):
        norm_statistics(torch.tensor([[1.0, math.nan], [1.0, 2.0]]))
    with pytest.raises(ValueError, match="x has no mean direction"):
        cone_statistics(torch.cat([x, -x]))
    assert mean_cosine(torch.cat([x, -x])) == pytest.approx(-1 / 11)
    with pytest.raises(ValueError, match="share"):
        cone_statistics(x, share=1.0)
    with pytest.raises(ValueError, match="fence"):
        norm_statistics(x, fence=0)
    with pytest.raises(ValueError, match="x is zero"):
        norm_statistics(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="depth"):
        relu_cone(0)
    with pytest.raises(ValueError, match="start"):
        relu_cone(2, start=1.5)
    with pytest.raises(TypeError, match="x must have a floating dtype"):
        mean_cosine(torch.ones(3, 2, dtype=torch.long))
