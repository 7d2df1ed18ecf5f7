"""LogME is the log marginal likelihood of a linear model at its best precisions, per row."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from bert_ms.metrics.evidence import Moments, log_evidence, logme


def exact(vectors: np.ndarray, column: np.ndarray, log_alpha: float, log_beta: float) -> float:
    """log N(y; 0, I / beta + F F^T / alpha): weights and noise integrated out, with no algebra of ours."""
    noise = np.exp(-log_beta) * np.eye(len(column))
    covariance = noise + np.exp(-log_alpha) * vectors @ vectors.T
    return float(stats.multivariate_normal(np.zeros(len(column)), covariance).logpdf(column))


def highest(vectors: np.ndarray, column: np.ndarray) -> float:
    """The exact likelihood at the best precisions that a search without gradients finds from several beginnings."""
    found = [
        optimize.minimize(
            lambda p: -exact(vectors, column, *p),
            [alpha, beta],
            method="Nelder-Mead",
            options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 2000},
        ).fun
        for alpha in (-2, 2)
        for beta in (-1, 3)
    ]
    return -min(found)


def data(rows: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of uneven scale; columns that follow one direction with noise, nothing, and all directions."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows, width)) * random.uniform(0.1, 3, width)
    signal, nothing = vectors[:, 0] + random.normal(size=rows), random.normal(size=rows) > 0
    return vectors, np.stack([signal, nothing, vectors @ random.normal(size=width) > 0], 1).astype(np.float64)


def test_it_is_what_a_hand_computes() -> None:
    # One vector a row: the share gamma = 4 / (4 + r) is best at 0.96, where beta is 4 and the error 1.
    vectors, column = np.array([[1.0], [-1.0], [1.0], [-1.0]]), np.array([[2.0], [-1.0], [1.0], [-1.0]])
    by_hand = -2 - 2 * np.log(np.pi / 2) + np.log(0.2)
    assert logme(Moments.of(vectors, column)) == pytest.approx(by_hand / 4, abs=1e-9)


@pytest.mark.parametrize(("rows", "width"), [(40, 7), (20, 35)], ids=["more rows", "more numbers"])
def test_it_is_the_exact_marginal_likelihood_at_its_highest(rows: int, width: int) -> None:
    vectors, columns = data(rows, width)
    found = log_evidence(Moments.of(vectors, columns))
    expected = [highest(vectors, column) for column in columns.T]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_it_is_the_mean_over_columns_of_a_row() -> None:
    vectors, columns = data(40, 7)
    alone = [logme(Moments.of(vectors, column[:, None])) for column in columns.T]
    assert logme(Moments.of(vectors, columns)) == pytest.approx(np.mean(alone), abs=1e-9)


def test_the_scale_of_vectors_does_not_matter() -> None:
    vectors, columns = data(40, 7)
    scaled = log_evidence(Moments.of(1000 * vectors, columns))
    np.testing.assert_allclose(scaled, log_evidence(Moments.of(vectors, columns)), atol=1e-6)


def test_numbers_that_are_always_zero_change_nothing() -> None:
    vectors, columns = data(40, 7)
    wider = np.concatenate([vectors, np.zeros((40, 3))], 1)
    np.testing.assert_allclose(
        log_evidence(Moments.of(wider, columns)), log_evidence(Moments.of(vectors, columns)), atol=1e-8
    )


def test_vectors_that_tell_the_labels_are_above_noise_and_noise_is_near_nothing() -> None:
    random = np.random.default_rng(1)
    is_one = np.arange(200) % 2
    noise = random.normal(size=(200, 10))
    columns = np.stack([1 - is_one, is_one], 1)
    telling = noise + 2 * is_one[:, None]
    nothing = logme(Moments.of(np.zeros((200, 10)), columns))
    assert logme(Moments.of(telling, columns)) > logme(Moments.of(noise, columns)) + 0.5
    assert abs(logme(Moments.of(noise, columns)) - nothing) < 0.05


def test_labels_that_vectors_tell_without_error_have_a_finite_score() -> None:
    vectors, _ = data(40, 7)
    assert np.isfinite(logme(Moments.of(vectors, vectors[:, :1])))


def test_parts_add_up_to_the_whole() -> None:
    vectors, columns = data(40, 7)
    whole, begin = Moments.of(vectors, columns), Moments.of(vectors[:15], columns[:15])
    rest = Moments.of(vectors[15:], columns[15:])
    np.testing.assert_allclose(log_evidence(begin + rest), log_evidence(whole), atol=1e-8)
    np.testing.assert_allclose(log_evidence(whole - begin), log_evidence(rest), atol=1e-8)


def test_centred_moments_are_those_of_centred_rows() -> None:
    vectors, columns = data(40, 7)
    vectors = vectors + 5
    expected = Moments.of(vectors - vectors.mean(0), columns - columns.mean(0))
    np.testing.assert_allclose(log_evidence(Moments.of(vectors, columns).centred()), log_evidence(expected), atol=1e-8)
    begin, rest = Moments.of(vectors[:15], columns[:15]), Moments.of(vectors[15:], columns[15:])
    np.testing.assert_allclose(log_evidence((begin + rest).centred()), log_evidence(expected), atol=1e-8)


def test_a_direction_that_all_rows_share_tells_nothing_of_rare_labels() -> None:
    """As frozen encoders' vectors have it: uncentred, the better vectors come out behind those of noise."""
    random = np.random.default_rng(0)
    is_rare = (random.random(4000) < 0.02).astype(np.float64)
    columns = np.stack([is_rare, 1 - is_rare], 1)
    noise = random.normal(size=(4000, 30)) * 0.1 + 3.0
    telling = np.concatenate([random.normal(size=(4000, 29)), (is_rare + 0.3 * random.normal(size=4000))[:, None]], 1)
    assert logme(Moments.of(noise, columns)) > logme(Moments.of(telling, columns))
    assert logme(Moments.of(noise, columns).centred()) < logme(Moments.of(telling, columns).centred())


def test_a_column_without_labels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"40 rows, sums of squares \[0.0\]: expected rows with labels"):
        log_evidence(Moments.of(data(40, 7)[0], np.zeros((40, 1))))
