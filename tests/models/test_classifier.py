"""Any torch module behind one protocol; the checks need no torch."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from brightness import HALF

from equipoise.errors import InputError
from equipoise.models.classifier import (
    checked_card,
    checked_labels,
    distinct_labels,
    fitted_scores,
    torch_classifier,
    weights_sha256,
)
from equipoise.models.preprocessing import named, unit_pixels
from equipoise.protocols import Classifier

LABELS = ("cat", "dog", "bird")


def pixels(n: int = 6) -> np.ndarray:
    return unit_pixels(np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3)).astype(np.uint8))


def test_labels_are_checked() -> None:
    assert checked_labels(["a", "b"], "m") == ("a", "b")
    for labels, match in (
        (["a"], "1 labels"), (["a", "a"], "the label 'a' 2 times \\(outputs 0, 1\\)"), (["a", 3], "Label 1 of 'm' is 3"),
        (["a", " "], "Label 1"), ("ab", "one text"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=match):
            checked_labels(labels, "m")  # type: ignore[arg-type]


def test_labels_that_repeat_get_the_number_of_their_output() -> None:
    assert distinct_labels(["crane", "dog", "crane"]) == ("crane #0", "dog", "crane #2")
    assert checked_labels(distinct_labels(["crane", "dog", "crane"]), "m")


def test_a_card_is_checked() -> None:
    assert checked_card({"accuracy": 0.75, "n": 50_000}) == {"accuracy": 0.75, "n": 50_000.0}
    for card in ({"accuracy": 75}, {"accuracy": True}, {"n": 0}, {"accuracy": float("nan")}, {"top5": 0.9}):
        with pytest.raises(InputError, match="card"):
            checked_card(card)


def test_scores_must_fit_the_labels() -> None:
    assert fitted_scores(np.zeros((2, 3)), 2, LABELS, "m").shape == (2, 3)
    assert fitted_scores(np.arange(8.0).reshape(2, 4), 2, LABELS, "m", [0])[0].tolist() == [1, 2, 3]
    assert fitted_scores(np.array([[2.0], [-1.0]]), 2, ("no", "yes"), "m").tolist() == [[0, 2], [0, -1]]
    assert fitted_scores(np.array([2.0, -1.0]), 2, ("no", "yes"), "m").tolist() == [[0, 2], [0, -1]]
    with pytest.raises(InputError, match="4 outputs and 3 labels. If the first is 'background', pass drop"):
        fitted_scores(np.zeros((2, 4)), 2, LABELS, "m")
    with pytest.raises(InputError, match="2 outputs and 3 labels. Name every output"):
        fitted_scores(np.zeros((2, 2)), 2, LABELS, "m")
    with pytest.raises(InputError, match="shape \\(3, 3\\) for 2 pictures"):
        fitted_scores(np.zeros((3, 3)), 2, LABELS, "m")
    with pytest.raises(InputError, match="output 9 is to be dropped"):
        fitted_scores(np.zeros((2, 4)), 2, LABELS, "m", [9])


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(InputError, match="is no torch module"):
        torch_classifier(lambda x: x, LABELS, HALF)


# ------------------------------------------------------------------------------------------------------------- torch


@pytest.fixture
def net() -> Any:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Flatten(),
        torch.nn.Linear(4 * 36, 3),
    )  # fmt: skip


def test_scores_are_those_of_the_module_on_normalised_pixels(net: Any) -> None:
    import torch

    model = torch_classifier(net, LABELS, HALF, name="small")
    assert isinstance(model, Classifier)
    shown = pixels()
    with torch.no_grad():
        wanted = net.eval()(torch.from_numpy((shown - 0.5) / np.float32(0.25))).numpy()
    found = model.scores(shown)
    assert found.dtype == np.float32
    assert found == pytest.approx(wanted, abs=1e-6)
    assert model.scores(pixels(0)).shape == (0, 3)


def test_the_mode_of_every_part_stays_and_no_gradient_is_kept(net: Any) -> None:
    net.train()
    net[1].eval()
    model = torch_classifier(net, LABELS, HALF)
    before = [part.training for part in net.modules()]
    first = model.scores(pixels())
    assert [part.training for part in net.modules()] == before
    assert (model.scores(pixels()) == first).all(), "dropout is off"
    assert all(weight.grad is None for weight in net.parameters())

    class Failing(type(net)):
        def forward(self, x: Any) -> Any:
            raise ValueError("no")

    failing = Failing(*net)
    failing.train()
    with pytest.raises(ValueError, match="no"):
        torch_classifier(failing, LABELS, HALF).scores(pixels())
    assert failing.training


def test_logits_may_be_an_attribute_or_a_key(net: Any) -> None:
    import torch

    class Wrapped(torch.nn.Module):
        def __init__(self, how: str) -> None:
            super().__init__()
            self.inner, self.how = net.eval(), how

        def forward(self, x: Any) -> Any:
            out = self.inner(x)
            return (
                {"logits": out}
                if self.how == "key"
                else type("Out", (), {"logits": out})
                if self.how == "attribute"
                else (out,)
            )

    wanted = torch_classifier(net, LABELS, HALF).scores(pixels())
    for how in ("key", "attribute"):
        assert (torch_classifier(Wrapped(how), LABELS, HALF).scores(pixels()) == wanted).all()
    with pytest.raises(InputError, match="gave a tuple, and no logits"):
        torch_classifier(Wrapped("tuple"), LABELS, HALF).scores(pixels())


def test_a_background_is_dropped(net: Any) -> None:
    whole = torch_classifier(net, LABELS, HALF).scores(pixels())
    assert (torch_classifier(net, LABELS[1:], HALF, drop=[0]).scores(pixels()) == whole[:, 1:]).all()
    with pytest.raises(InputError, match="drop=\\[0\\]"):
        torch_classifier(net, LABELS[1:], HALF).scores(pixels())
    with pytest.raises(InputError, match="output to drop is -1"):
        torch_classifier(net, LABELS[1:], HALF, drop=[-1])


def test_the_fingerprint_is_of_weights_type_and_preprocessing(net: Any) -> None:
    import torch

    model = torch_classifier(net, LABELS, HALF)
    one = model.fingerprint
    assert one == torch_classifier(net, LABELS, HALF).fingerprint
    assert model.with_preprocessing(named("clip")).fingerprint != one
    oracle = hashlib.sha256()
    for name in sorted(net.state_dict()):
        value = net.state_dict()[name].numpy()
        kind = {"float32": "torch.float32", "int64": "torch.int64"}[str(value.dtype)]
        oracle.update(f"{name} {kind} {value.shape}\n".encode() + value.tobytes())
    assert one["weights"] == weights_sha256(net) == oracle.hexdigest()
    with torch.no_grad():
        net[5].weight[0, 0] += 1e-6
    assert model.fingerprint["weights"] != one["weights"]


def test_half_precision_is_scored_in_its_own_type(net: Any) -> None:
    import torch

    wanted = torch_classifier(net, LABELS, HALF).scores(pixels())
    model = torch_classifier(net.to(torch.bfloat16), LABELS, HALF)
    found = model.scores(pixels())
    assert found.dtype == np.float32
    assert model.fingerprint["dtype"] == "bfloat16"
    assert found == pytest.approx(wanted, abs=0.05)
    assert not (found == wanted).all()


def test_normalised_pixels_are_refused(net: Any) -> None:
    model = torch_classifier(net, LABELS, HALF)
    with pytest.raises(InputError, match="in \\[0, 1\\] before normalisation; found -2 to 2"):
        model.scores(np.linspace(-2, 2, 3 * 64, dtype=np.float32).reshape(1, 3, 8, 8))
    with pytest.raises(InputError):
        model.scores(np.full((1, 3, 8, 8), np.nan, np.float32))
    with pytest.raises(InputError):
        model.scores(np.zeros((1, 8, 8, 3), np.float32))


def test_weights_that_look_untrained_are_noted(net: Any) -> None:
    import torch

    assert "untrained" in torch_classifier(net, LABELS, HALF).notes[0]
    with torch.no_grad():
        net[1].weight.mul_(1.1)
        net[1].bias.add_(0.1)
    assert torch_classifier(net, LABELS, HALF).notes == ()
