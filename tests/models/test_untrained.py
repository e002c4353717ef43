"""Weights that nobody trained, in plain arrays; what libraries build is tested beside their loaders."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.models.untrained import untrained

RNG = np.random.default_rng(0)
FRESH = {
    "layer.0.weight": RNG.normal(size=(4, 4)),
    "layer.0.bias": RNG.normal(size=4),  # torch starts the biases of linear layers at random
    "norm.0.weight": np.ones(4, np.float32),
    "norm.0.bias": np.zeros(4, np.float32),
    "norm.1.weight": np.zeros(4),  # a branch that begins closed
    "norm.1.bias": np.zeros(4),
    "rms.weight": np.ones(4),
    "bn.weight": np.ones(4),
    "bn.bias": np.zeros(4),
    "bn.running_mean": np.zeros(4),
    "bn.running_var": np.ones(4),
    "ln.gamma": np.ones(4),
    "ln.beta": np.zeros(4),
    "flax.scale": np.ones(4),
    "branch.gamma": np.full(4, 1e-5),
    "prelu.weight": np.full(1, 0.25),
    "logit_scale": np.full(1, 2.6),
}


def test_fresh():
    assert (
        untrained(FRESH) == "The weights look untrained: all 5 normalisation layers have weight 1 and bias 0 exactly."
    )
    assert untrained({"weight": np.ones(3), "bias": np.zeros(3)}) == (
        "The weights look untrained: its normalisation layer has weight 1 and bias 0 exactly."
    )


@pytest.mark.parametrize(
    "name", ["norm.0.weight", "norm.0.bias", "norm.1.bias", "rms.weight", "bn.running_mean", "bn.running_var", "ln.gamma", "ln.beta", "flax.scale"]
)  # fmt: skip
def test_one_number_that_moved_is_training(name):
    moved = FRESH[name].copy()
    moved[2] += 1e-4
    assert untrained({**FRESH, name: moved}) is None


def test_nothing_to_judge_by():
    assert untrained({}) is None
    assert untrained({"layer.weight": RNG.normal(size=(4, 4)), "layer.bias": np.zeros(4)}) is None
    assert untrained({"branch.gamma": np.full(4, 1e-5), "logit_scale": np.array(2.6)}) is None


def test_tensors_of_a_type_that_numpy_lacks():
    torch = pytest.importorskip("torch")
    state = {"norm.weight": torch.ones(4, dtype=torch.bfloat16), "norm.bias": torch.zeros(4, dtype=torch.bfloat16)}
    assert untrained(state)
    state["norm.weight"][1] = 1.5
    assert untrained(state) is None


@pytest.mark.parametrize("name", ["LayerNorm", "BatchNorm1d", "GroupNorm"])
def test_layers_of_torch(name):
    torch = pytest.importorskip("torch")
    layer = getattr(torch.nn, name)(*((2, 4) if name == "GroupNorm" else (4,)))
    module = torch.nn.Sequential(torch.nn.Linear(4, 4), layer)
    assert untrained(module.state_dict())
    optimiser = torch.optim.SGD(module.parameters(), 0.1)
    module(torch.randn(8, 4, generator=torch.Generator().manual_seed(0))).pow(3).sum().backward()
    optimiser.step()
    assert untrained(module.state_dict()) is None
