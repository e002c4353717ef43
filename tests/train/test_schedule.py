"""The learning rate by hand and against torch's own schedules; recipes refuse what cannot be."""

from __future__ import annotations

import math

import pytest

from equipoise.errors import InputError
from equipoise.train.schedule import Recipe, learning_rate


def test_the_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, 12, 8.0, warmup=4) for step in range(12)]
    assert rates[:4] == [2.0, 4.0, 6.0, 8.0]
    assert rates[4] == 8.0
    assert rates[8] == pytest.approx(4.0)  # half of the cosine's way
    assert rates[11] == pytest.approx(4 * (1 + math.cos(math.pi * 7 / 8)))
    assert learning_rate(0, 1, 3.0) == 3.0


def test_without_warm_up_it_is_torchs_cosine() -> None:
    torch = pytest.importorskip("torch", reason="compared with torch's own schedule")
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=0.5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=20)
    for step in range(20):
        assert learning_rate(step, 20, 0.5) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9)
        optimiser.step()
        schedule.step()


def test_a_constant_rate_stays() -> None:
    assert {learning_rate(step, 10, 0.1, warmup=2, shape="constant") for step in range(2, 10)} == {0.1}


def test_warm_up_is_a_share() -> None:
    recipe = Recipe(steps=10, learning_rate=1.0, warmup=0.25)
    assert [recipe.rate(step) for step in range(3)] == pytest.approx([1 / 3, 2 / 3, 1.0])


@pytest.mark.parametrize(
    "given",
    [
        {"steps": 0}, {"steps": 1.5}, {"steps": True}, {"learning_rate": 0.0}, {"learning_rate": math.nan},
        {"learning_rate": "fast"}, {"warmup": 1.1}, {"weight_decay": -1e-9}, {"clip_norm": 0.0}, {"accumulate": 0},
        {"precision": "float16"}, {"shape": "line"}, {"seed": -1}, {"betas": (0.9, 1.5)}, {"checkpoint_every": 0},
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(given) -> None:
    with pytest.raises(InputError, match=next(iter(given))):
        Recipe(**{"steps": 10, **given})
