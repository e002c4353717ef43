"""The gate: is this a face? A logistic regression on the trunk's pooled features, folded to one vector."""

from __future__ import annotations

from typing import Any

import numpy as np

PSEUDO = 6000
RIDGE = 1e-4
SPREAD = 0.05


def rectified_mean(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """E[min(max(X, 0), 6)] of a normal X, elementwise (closed form)."""
    from scipy.special import ndtr

    low, high = -mean / sd, (6 - mean) / sd

    def density(z: np.ndarray) -> np.ndarray:
        return np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)

    inside = mean * (ndtr(high) - ndtr(low)) + sd * (density(low) - density(high))
    return inside + 6 * (1 - ndtr(high))


def pseudo_features(net: Any, faces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pooled features such as photographs of the 1,000 classes would have: (6000, 1280).

    max(0, c + s c W_k + noise), with c the expected activation under the head's batch normalisation, W_k the
    classifier's row of class k, s ~ U(2, 8), and noise on the scale of the faces' own spread.
    """
    norm, weight = net._bn1, net._fc.weight.detach().double().numpy()
    centre = rectified_mean(norm.bias.detach().double().numpy(), np.abs(norm.weight.detach().double().numpy()))
    classes = weight[np.arange(PSEUDO) % len(weight)]
    strength = rng.uniform(2, 8, (PSEUDO, 1))
    noise = faces.std(0) * rng.uniform(0.5, 1.2, (PSEUDO, 1)) * rng.standard_normal(classes.shape)
    return np.maximum(0, centre + strength * centre * classes + noise)


def fit_gate(
    net: Any, faces: np.ndarray, portraits: np.ndarray, negatives: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Weights (1280,) and bias with which sigmoid(2 (w . pooled + b)) is the gate."""
    from sklearn.linear_model import LogisticRegression

    pseudo = pseudo_features(net, faces, rng)
    x = np.concatenate([faces, portraits, negatives, pseudo]).astype(np.float64)
    y = np.repeat([1, 0], [len(faces) + len(portraits), len(negatives) + len(pseudo)])
    mean, spread = x.mean(0), x.std(0) + SPREAD
    model = LogisticRegression(C=RIDGE, class_weight="balanced", max_iter=2000).fit((x - mean) / spread, y)
    weights = model.coef_[0] / spread
    return weights, float(model.intercept_[0] - weights @ mean)
