"""Checkpoints: bit by bit what they were, equal bytes for equal states, and damage is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="checkpoints hold tensors of torch")

from train.small_run import build  # noqa: E402

from equipoise.errors import ChecksumError, FingerprintError, SchemaError  # noqa: E402
from equipoise.train.checkpoint import FILE, State, capture, load_state, restore, save_state  # noqa: E402

RUN = {"recipe": {"steps": 3}}


def stepped(seed=0):
    torch.manual_seed(seed)
    model = build()
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.randn(8, 6)).sum().backward()
    optimiser.step()
    tensors, numbers = capture(model, optimiser)
    return (
        model,
        optimiser,
        State(1, {"epoch": 0, "offset": 8, "waiting": [3]}, {"loss": [0.1 + 0.2]}, RUN, tensors, numbers),
    )


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    _, _, state = stepped()
    save_state(tmp_path / FILE, state)
    found = load_state(tmp_path / FILE, RUN)
    assert found is not None
    assert (found.step, found.position, found.record, found.numbers) == (1, state.position, state.record, state.numbers)
    assert found.tensors.keys() == state.tensors.keys()
    for name, value in state.tensors.items():
        assert found.tensors[name].dtype == value.dtype
        assert torch.equal(found.tensors[name], value), name


def test_equal_states_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_state(tmp_path / name, stepped()[2])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_model_optimiser_and_generator_go_on_alike(tmp_path: Path) -> None:
    model, optimiser, state = stepped()
    save_state(tmp_path / FILE, state)
    ends = []
    for fresh in (False, True):
        if fresh:
            model = build()
            optimiser = torch.optim.AdamW(model.parameters())
        found = load_state(tmp_path / FILE, RUN)
        assert found is not None
        restore(found, model, optimiser)
        for _ in range(3):
            optimiser.zero_grad()
            model(torch.randn(8, 6)).sum().backward()
            optimiser.step()
        ends.append(torch.cat([value.flatten().double() for value in model.state_dict().values()]))
    assert torch.equal(*ends)


def test_bfloat16_survives(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2).bfloat16()
    tensors, numbers = capture(model, torch.optim.SGD(model.parameters(), lr=1))
    save_state(tmp_path / FILE, State(1, {}, {}, RUN, tensors, numbers))
    found = load_state(tmp_path / FILE, RUN)
    assert found is not None
    assert found.tensors["weights/weight"].dtype == torch.bfloat16
    assert torch.equal(found.tensors["weights/weight"], model.weight)


@pytest.mark.parametrize("place", [-1, -100, -3000])
def test_a_flipped_bit_is_noticed(tmp_path: Path, place: int) -> None:
    path = tmp_path / FILE
    save_state(path, stepped()[2])
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ChecksumError, match="damaged"):
        load_state(path, RUN)


def test_a_cut_file_another_schema_and_another_run_are_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE
    assert load_state(path, RUN) is None
    save_state(path, stepped()[2])
    with pytest.raises(FingerprintError, match="another run"):
        load_state(path, {"recipe": {"steps": 4}})
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(ChecksumError, match="damaged"):
        load_state(path, RUN)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(SchemaError, match="schema"):
        load_state(path, RUN)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    save_state(tmp_path / FILE, stepped()[2])
    found = load_state(tmp_path / FILE, RUN)
    assert found is not None
    other = torch.nn.Linear(2, 2)
    with pytest.raises(FingerprintError, match="not those that are trained"):
        restore(found, other, torch.optim.AdamW(other.parameters()))
