"""Methods on task matrices: against plain implementations by SVDs and gradients, closed forms, and matrices of low rank."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from methods.whole import apply

from sprachbund.errors import MixError
from sprachbund.methods import METHODS
from sprachbund.methods.iso import ranks
from sprachbund.methods.registry import Array
from sprachbund.methods.spectral import first_triples, polar

NAMES = ("tsv_m", "iso_c", "iso_cts", "wudi")
SHAPES = ((12, 20), (20, 12), (15, 15))


def tasks(n: int, shape: tuple[int, int], dtype: type = np.float64) -> Array:
    """Return task vectors [n, out, in] with something in common."""
    random = np.random.default_rng(n)
    common = random.normal(size=shape)
    return (1e-2 * (random.normal(size=(n, *shape)) + common)).astype(dtype)


def uniform(n: int) -> list[float]:
    return [1 / n] * n


def low_rank(shape: tuple[int, int], rank: int, seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    return np.asarray(random.normal(size=(shape[0], rank)) @ random.normal(size=(rank, shape[1])))


# Plain implementations, on full SVDs


def plain_polar(matrix: Array) -> Array:
    p, _, qt = np.linalg.svd(matrix, full_matrices=False)
    return p @ qt


def plain_tsv_m(taus: Array) -> Array:
    n, rank = len(taus), min(taus.shape[1:])
    k = rank // n
    svds = [np.linalg.svd(tau, full_matrices=False) for tau in taus]
    u = np.concatenate([u[:, :k] for u, _, _ in svds], axis=1)
    s = np.concatenate([s[:k] for _, s, _ in svds])
    vt = np.concatenate([vt[:k] for _, _, vt in svds], axis=0)
    return plain_polar(u) @ np.diag(s) @ plain_polar(vt)


def plain_iso_c(taus: Array) -> Array:
    u, s, vt = np.linalg.svd(taus.sum(axis=0), full_matrices=False)
    return s.mean() * u @ vt


def plain_iso_cts(taus: Array, common: int, specific: int) -> Array:
    full_u, full_s, full_vt = np.linalg.svd(taus.sum(axis=0), full_matrices=False)
    u, s, vt = full_u[:, :common], full_s[:common], full_vt[:common]
    us, ss, vts = [u], [s], [vt]
    for tau in taus:
        own_u, own_s, own_vt = np.linalg.svd(tau - u @ u.T @ tau, full_matrices=False)
        us.append(own_u[:, :specific])
        ss.append(own_s[:specific])
        vts.append(own_vt[:specific])
    return np.concatenate(ss).mean() * plain_polar(np.hstack(us)) @ plain_polar(np.vstack(vts))


def wudi_loss(tau: torch.Tensor, taus: torch.Tensor) -> torch.Tensor:
    sizes = taus.flatten(1).square().sum(dim=1)
    return ((tau - taus) @ taus.mT).square().sum(dim=(1, 2)).div(sizes).sum()


def plain_wudi(taus: Array, iterations: int, learning_rate: float) -> Array:
    """The paper's loss, differentiated by torch and minimised by torch's Adam."""
    vectors = torch.from_numpy(taus)
    tau = vectors.sum(dim=0).requires_grad_()
    optimizer = torch.optim.Adam([tau], lr=learning_rate)
    for _ in range(iterations):
        optimizer.zero_grad()
        wudi_loss(tau, vectors).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return np.asarray(tau.detach().numpy())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_tsv_m_by_svds(shape: tuple[int, int], n: int) -> None:
    taus = tasks(n, shape)
    np.testing.assert_allclose(apply("tsv_m", taus, uniform(n), scale=0.5), plain_tsv_m(taus) / 2, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_iso_c_by_an_svd(shape: tuple[int, int], n: int) -> None:
    taus = tasks(n, shape)
    merged = apply("iso_c", taus, uniform(n), scale=0.5)
    np.testing.assert_allclose(merged, plain_iso_c(taus) / 2, atol=1e-9)
    s = np.linalg.svd(merged, compute_uv=False)
    np.testing.assert_allclose(s, s.mean(), rtol=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("n", "fraction"), [(1, 0.8), (2, 0.8), (3, 0.8), (3, 0.3), (5, 0.5), (2, 1.0)])
def test_iso_cts_by_svds(shape: tuple[int, int], n: int, fraction: float) -> None:
    taus = tasks(n, shape)
    common, specific = ranks(min(shape), n, fraction)
    expected = plain_iso_cts(taus, common, specific)
    merged = apply("iso_cts", taus, uniform(n), common_space_fraction=fraction)
    np.testing.assert_allclose(merged, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("rank", "n", "fraction", "expected"),
    [
        (768, 5, 0.8, (613, 31)),  # 614 wanted, 154 left: 31 each
        (12, 3, 0.8, (9, 1)),
        (12, 3, 1.0, (12, 0)),
        (10, 4, 0.1, (2, 2)),  # 9 left
        (3, 2, 0.1, (1, 1)),  # 3 left, which is 2 each if rounded: more than there are
        (1, 5, 0.5, (1, 0)),
    ],
)
def test_directions_add_up(rank: int, n: int, fraction: float, expected: tuple[int, int]) -> None:
    common, specific = ranks(rank, n, fraction)
    assert (common, specific) == expected
    assert common + n * specific == rank


def test_iso_cts_with_all_in_common_is_iso_c() -> None:
    taus = tasks(3, (12, 20))
    all_common = apply("iso_cts", taus, uniform(3), common_space_fraction=1)
    np.testing.assert_allclose(all_common, apply("iso_c", taus, uniform(3)), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [2, 5])
def test_wudi_takes_the_steps_of_torch(shape: tuple[int, int], n: int) -> None:
    taus = tasks(n, shape)
    merged = apply("wudi", taus, uniform(n), iterations=50, learning_rate=1e-4)
    expected = plain_wudi(taus, 50, 1e-4)
    np.testing.assert_allclose(merged, expected, rtol=1e-9)
    assert np.abs(merged - taus.sum(axis=0)).max() > 1e-3


def test_wudi_steps_in_float32_stay_close_to_float64() -> None:
    taus = tasks(3, (12, 20), np.float32)
    merged = apply("wudi", taus, uniform(3))
    assert merged.dtype == np.float32
    np.testing.assert_allclose(merged, plain_wudi(taus.astype(np.float64), 300, 1e-5), atol=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_wudi_exact_is_the_minimum(shape: tuple[int, int], n: int) -> None:
    """No gradient there; and of all minima that with the smallest norm: nothing outside of the span of the rows of tasks."""
    taus = tasks(n, shape)
    merged = apply("wudi", taus, uniform(n), solver="exact")
    vectors = torch.from_numpy(taus)
    at, start = (torch.from_numpy(each).requires_grad_() for each in (merged, taus.sum(axis=0)))
    for each in (at, start):
        wudi_loss(each, vectors).backward()  # type: ignore[no-untyped-call]
    if n > 1:
        assert float(at.grad.abs().max()) < 1e-9 * float(start.grad.abs().max())
    rows = np.vstack(list(taus))
    np.testing.assert_allclose(merged @ np.linalg.pinv(rows) @ rows, merged, atol=1e-12)


def test_the_minimum_of_wudi_is_found_in_float64() -> None:
    taus = tasks(3, (12, 20), np.float32)
    exact = apply("wudi", taus.astype(np.float64), uniform(3), solver="exact")
    np.testing.assert_allclose(apply("wudi", taus, uniform(3), solver="exact"), exact, rtol=1e-12)


def test_wudi_goes_down_towards_the_minimum() -> None:
    taus = tasks(3, (12, 20))
    vectors = torch.from_numpy(taus)
    losses = [
        float(wudi_loss(torch.from_numpy(apply("wudi", taus, uniform(3), **options)), vectors))
        for options in ({"iterations": 0}, {}, {"iterations": 3000}, {"solver": "exact"})
    ]
    assert losses == sorted(losses, reverse=True)
    assert losses[1] > losses[3] * 1.5


# Closed forms


def test_orthogonal_tasks_are_added_by_tsv_m() -> None:
    """Tasks in rows and columns of their own don't interfere: of rank r/n each, their sum is what remains."""
    taus = np.zeros((2, 6, 8))
    taus[0, :3, :4], taus[1, 3:, 4:] = low_rank((3, 4), 3), low_rank((3, 4), 3, seed=1)
    np.testing.assert_allclose(apply("tsv_m", taus, [0.5, 0.5]), taus.sum(axis=0), atol=1e-10)


def test_wudi_leaves_orthogonal_tasks_as_their_sum() -> None:
    taus = np.zeros((2, 6, 8))
    taus[0, :, :4], taus[1, :, 4:] = low_rank((6, 4), 4), low_rank((6, 4), 4, seed=1)
    for solver in ("adam", "exact"):
        np.testing.assert_allclose(apply("wudi", taus, [0.5, 0.5], solver=solver), taus.sum(axis=0), atol=1e-10)


def test_equal_sources() -> None:
    n, tau = 3, tasks(1, (12, 20))[0]
    taus = np.repeat(tau[None], n, axis=0)
    u, s, vt = np.linalg.svd(tau, full_matrices=False)
    np.testing.assert_allclose(apply("tsv_m", taus, uniform(n)), (u[:, :4] * s[:4]) @ vt[:4], atol=1e-10)
    np.testing.assert_allclose(apply("iso_c", taus, uniform(n)), n * s.mean() * u @ vt, atol=1e-10)
    np.testing.assert_allclose(apply("wudi", taus, uniform(n), solver="exact"), tau, atol=1e-10)


@pytest.mark.parametrize("name", ["tsv_m", "wudi"])
def test_one_source_is_itself(name: str) -> None:
    tau = tasks(1, (12, 20), np.float32)
    np.testing.assert_allclose(apply(name, tau, [1.0]), tau[0], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(apply("wudi", tau, [1.0], solver="exact"), tau[0], rtol=1e-6)


@pytest.mark.parametrize("name", ["iso_c", "iso_cts"])
def test_one_source_alone_becomes_isotropic(name: str) -> None:
    tau = tasks(1, (12, 20))
    np.testing.assert_allclose(apply(name, tau, [1.0]), plain_iso_c(tau), atol=1e-10)


# What holds for all of them


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_sources_does_not_matter(name: str) -> None:
    taus = tasks(3, (12, 20))
    merged = apply(name, taus, uniform(3))
    for order in permutations(range(3)):
        np.testing.assert_allclose(apply(name, taus[list(order)], uniform(3)), merged, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_a_transposed_task_vector_is_merged_alike(name: str) -> None:
    """But for wudi, which looks at inputs, and iso_cts, which projects outputs."""
    taus = tasks(3, (12, 20))
    merged, transposed = apply(name, taus, uniform(3)), apply(name, taus.swapaxes(1, 2), uniform(3))
    assert np.allclose(transposed.T, merged, atol=1e-10) == (name in ("tsv_m", "iso_c"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("zeros", [(1,), (0, 1, 2)])
def test_zero_task_vectors_make_no_nan(name: str, dtype: type, zeros: tuple[int, ...]) -> None:
    taus = tasks(3, (12, 20), dtype)
    taus[list(zeros)] = 0
    merged = apply(name, taus, uniform(3))
    assert np.isfinite(merged).all()
    assert merged.any() == (len(zeros) == 1)


@pytest.mark.parametrize("options", [{}, {"solver": "exact"}])
def test_a_zero_task_vector_says_nothing_to_wudi(options: dict[str, object]) -> None:
    taus = tasks(3, (12, 20))
    taus[1] = 0
    np.testing.assert_allclose(
        apply("wudi", taus, uniform(3), **options), apply("wudi", taus[[0, 2]], uniform(2), **options), rtol=1e-12
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (1, 1), (2, 9)])
@pytest.mark.parametrize("n", [1, 3])
def test_fewer_rows_than_sources(name: str, shape: tuple[int, int], n: int) -> None:
    merged = apply(name, tasks(n, shape), uniform(n))
    assert merged.shape == shape
    assert np.isfinite(merged).all()
    assert merged.any()


def test_a_single_row_in_closed_form() -> None:
    taus = np.array([[[3.0, 0, 0]], [[0, 4.0, 0]]])
    np.testing.assert_allclose(apply("iso_c", taus, [0.5, 0.5]), [[3, 4, 0]], atol=1e-12)
    half = np.sqrt(0.5)  # U = [1 1] is nearest to [half half], V is orthonormal already
    np.testing.assert_allclose(apply("tsv_m", taus, [0.5, 0.5]), [[3 * half, 4 * half, 0]], atol=1e-12)
    np.testing.assert_allclose(apply("wudi", taus, [0.5, 0.5], solver="exact"), [[3, 4, 0]], atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_low_rank_stays_in_its_own_directions(name: str) -> None:
    """Task vectors of LoRA adapters: nothing comes in from outside of the rows and columns that they span."""
    taus = np.stack([low_rank((12, 20), 2, seed) for seed in range(3)])
    merged = apply(name, taus, uniform(3))
    columns, rows = np.hstack(list(taus)), np.vstack(list(taus))
    atol = 1e-9 if name != "wudi" else 1e-2  # adam moves each entry by itself
    np.testing.assert_allclose(columns @ np.linalg.pinv(columns) @ merged, merged, atol=atol)
    np.testing.assert_allclose(merged @ np.linalg.pinv(rows) @ rows, merged, atol=atol)
    assert np.linalg.matrix_rank(merged, tol=0.1) == 6


def test_isotropic_keeps_the_sum_of_singular_values_of_low_rank() -> None:
    taus = low_rank((12, 20), 3)[None]
    s = np.linalg.svd(apply("iso_c", taus, [1.0]), compute_uv=False)
    np.testing.assert_allclose(s[:3], np.linalg.svd(taus[0], compute_uv=False)[:3].mean())
    np.testing.assert_allclose(s[3:], 0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_all_sources_count_the_same(name: str) -> None:
    assert METHODS[name].matrices_only
    with pytest.raises(MixError, match=f"The method {name} counts all sources the same: leave out the weights"):
        apply(name, tasks(2, (12, 20)), [0.4, 0.6])


# Singular values from Gram matrices


@pytest.mark.parametrize("shape", SHAPES)
def test_triples_of_float32_data_are_better_than_a_float32_svd(shape: tuple[int, int]) -> None:
    matrix = tasks(1, shape, np.float32)[0]
    u, s, vt = first_triples(matrix, 5)
    np.testing.assert_allclose(s, np.linalg.svd(matrix.astype(np.float64), compute_uv=False)[:5], rtol=1e-10)
    np.testing.assert_allclose(u.T @ u, np.eye(5), atol=1e-10)
    np.testing.assert_allclose(vt @ vt.T, np.eye(5), atol=1e-10)
    fu, fs, fvt = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    np.testing.assert_allclose((u * s) @ vt, (fu[:, :5] * fs[:5]) @ fvt[:5], atol=1e-12)


def test_small_singular_values_are_kept_and_zero_ones_are_not() -> None:
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(9, 9)))
    p, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(20, 9)))
    values = np.array([1, 0.5, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-8, 0])
    matrix = (q * values) @ p.T
    _, s, _ = first_triples(matrix, 9)
    np.testing.assert_allclose(s, values[:7], rtol=1e-5)
    isometry, s = polar(matrix)
    assert len(s) == 7
    np.testing.assert_allclose(isometry, q[:, :7] @ p[:, :7].T, atol=1e-5)


def test_a_zero_matrix_has_no_triples() -> None:
    u, s, vt = first_triples(np.zeros((4, 3)), 2)
    assert (u.shape, s.shape, vt.shape) == ((4, 0), (0,), (0, 3))
    np.testing.assert_array_equal(polar(np.zeros((4, 3)))[0], np.zeros((4, 3)))
