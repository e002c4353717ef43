"""The loop: against torch by hand, killed and resumed to the same bytes, and what it says when training diverges."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the loop is of torch")

from train.small_run import Shuffled, build, data, run  # noqa: E402

from equipoise.errors import FingerprintError, InputError, MethodRefusal  # noqa: E402
from equipoise.progress import watched  # noqa: E402
from equipoise.train.checkpoint import FILE  # noqa: E402
from equipoise.train.loop import train  # noqa: E402
from equipoise.train.sampling import Batches  # noqa: E402
from equipoise.train.schedule import Recipe  # noqa: E402

SCRIPT = Path(__file__).with_name("small_run.py")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / FILE).read_bytes()).hexdigest()


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one, two) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_steps_are_those_of_a_loop_written_by_hand() -> None:
    """Two batches a step, AdamW with decay on matrices alone, gradients of norm 0.5 at most, the rate of the recipe."""
    x, y = data()
    mine, theirs = torch.nn.Linear(6, 1), torch.nn.Linear(6, 1)
    theirs.load_state_dict(mine.state_dict())
    recipe = Recipe(steps=6, learning_rate=0.1, warmup=0.5, accumulate=2, clip_norm=0.5, weight_decay=0.2)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    done = train(mine, Batches(Shuffled(), 8), lambda rows: (bce(mine(x[rows]), y[rows]), {}), recipe)
    optimiser = torch.optim.AdamW(
        [{"params": [theirs.weight], "weight_decay": 0.2}, {"params": [theirs.bias], "weight_decay": 0.0}],
        betas=(0.9, 0.98), eps=1e-6,
    )  # fmt: skip
    stream, norms = Batches(Shuffled(), 8).after(), []
    for step in range(6):
        optimiser.zero_grad()
        rows = [next(stream)[0] for _ in range(2)]
        (sum(bce(theirs(x[part]), y[part]) for part in rows) / 2).backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)))
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(step)
        optimiser.step()
    torch.testing.assert_close(mine.weight, theirs.weight, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(mine.bias, theirs.bias, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(done.record["gradient_norm"].to_numpy(), norms, rtol=1e-5)
    assert done.record["step"].to_pylist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(done.record["learning_rate"].to_numpy(), [recipe.rate(step) for step in range(6)])


def test_killed_at_any_moment_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    clean.mkdir()
    _, done = run(clean)
    assert done.resumed_at == 0
    killed = tmp_path / "killed"
    killed.mkdir()
    source = str(Path(__file__).resolve().parents[2] / "src")
    found = subprocess.run(
        [sys.executable, str(SCRIPT), str(killed), "15"], capture_output=True, text=True, timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": source},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert int(found.stdout) > 3, "no kill met a running process"
    assert digest(killed) == digest(clean)


@pytest.mark.parametrize("stop", [1, 4, 7, 29])
def test_stopped_and_resumed_weights_and_record_are_the_same(tmp_path: Path, stop: int) -> None:
    clean, wanted = run(None)

    class Stop(Exception):
        pass

    def tell(_: str, step: int, __: int) -> None:
        if step == stop:
            raise Stop

    with pytest.raises(Stop), watched(tell):
        run(tmp_path)
    again, done = run(tmp_path)
    assert done.resumed_at == stop // 4 * 4
    assert equal(weights(again), weights(clean))
    assert done.record.equals(wanted.record)


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    first, wanted = run(tmp_path)

    def never(_):
        raise AssertionError("a step was made")

    again, done = run(tmp_path, loss=never)
    assert done.resumed_at == done.steps == 30
    assert equal(weights(again), weights(first))
    assert done.record.equals(wanted.record)


def test_the_callers_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    run(None, steps=3)  # `build` seeds: so draw behind it
    torch.manual_seed(5)
    model = build()
    torch.manual_seed(5)
    run(None, steps=3, model=model)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run_and_the_checkpoint_stays(tmp_path: Path, bad: float) -> None:
    model = build()
    x, y = data()
    calls = []

    def loss(rows):
        calls.append(rows)
        value = torch.nn.functional.binary_cross_entropy_with_logits(model(x[rows]), y[rows])
        return (value * bad if len(calls) > 20 else value), {}

    with pytest.raises(
        MethodRefusal, match=r"The loss is (nan|inf) at step 11 of 30.*checkpoint of step 8 stays"
    ) as caught:
        run(tmp_path, model=model, loss=loss)
    assert caught.value.exit_code == 4
    assert all(value.isfinite().all() for value in model.parameters())
    again, done = run(tmp_path)
    assert done.resumed_at == 8
    assert equal(weights(again), weights(run(None)[0]))
    assert [value != value for value in done.record["rows"].to_pylist()] == [True] * 8 + [False] * 22


def test_a_gradient_that_is_no_number_ends_the_run_too() -> None:
    weight = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(weight.weight)
    with pytest.raises(MethodRefusal, match=r"The gradient is (nan|inf) at step 1 of 2"):
        train(weight, Batches(range(4), 2), lambda _: (weight.weight.sum().sqrt(), {}), Recipe(steps=2))


def test_another_recipe_is_another_run(tmp_path: Path) -> None:
    run(tmp_path, steps=8)
    with pytest.raises(FingerprintError, match="another run"):
        run(tmp_path, steps=8, seed=1)


def test_only_what_wants_a_gradient_is_trained_and_kept(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = build()
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    before = weights(model)
    after = weights(run(tmp_path, model=model)[0])
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert not torch.equal(before["4.weight"], after["4.weight"])
    kept = load_file(tmp_path / FILE)
    assert "weights/4.weight" in kept
    assert not any(name.startswith("weights/0.") for name in kept)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(InputError, match="No parameter"):
        run(None, model=model)


def test_an_optimiser_of_ones_own_and_a_hook_behind_each_step(tmp_path: Path) -> None:
    """What a masked fine-tuning needs: SGD with momentum, and weights held where they were after each update."""
    model, steps = build(), []
    kept = model[0].weight.detach().clone()

    def hold(step):
        steps.append(step)
        model[0].weight.data.copy_(kept)

    x, y = data()
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    arguments = (
        model,
        Batches(Shuffled(), 8),
        lambda rows: (bce(model(x[rows]), y[rows]), {}),
        Recipe(steps=5, checkpoint_every=2),
    )
    options = {"after_step": hold, "optimiser": lambda one: torch.optim.SGD(one.parameters(), lr=1.0, momentum=0.9)}
    train(*arguments, **options, folder=tmp_path)
    assert steps == [0, 1, 2, 3, 4]
    assert torch.equal(model[0].weight, kept)
    with pytest.raises(FingerprintError, match="not those that are trained here"):
        train(torch.nn.Linear(6, 1), *arguments[1:], folder=tmp_path)


def test_half_precision_is_of_the_forward_pass_alone() -> None:
    model, seen = build(), []
    x, y = data()

    def loss(rows):
        out = model(x[rows])
        seen.append(out.dtype)
        return torch.nn.functional.binary_cross_entropy_with_logits(out.float(), y[rows]), {}

    run(None, steps=2, model=model, loss=loss, precision="bfloat16")
    assert set(seen) == {torch.bfloat16}
    assert {one.dtype for one in model.parameters()} == {torch.float32}


def test_a_loader_may_read_ahead(tmp_path: Path) -> None:
    """The position that is kept is that of the step, not that of the reading."""
    x, y = data()

    def ahead(batches):
        held = []
        for batch in batches:
            held.append(batch)
            if len(held) > 5:
                yield held.pop(0)

    def once(folder, loader, steps=20):
        model = build()
        loss = torch.nn.functional.binary_cross_entropy_with_logits
        recipe = Recipe(steps=steps, learning_rate=0.05, checkpoint_every=3)

        def tell(_, step, __):
            if folder and step == 11 and not (folder / "seen").exists():
                (folder / "seen").touch()
                raise KeyboardInterrupt

        with watched(tell):
            train(
                model,
                Batches(Shuffled(), 9),
                lambda rows: (loss(model(x[rows]), y[rows]), {}),
                recipe,
                loader=loader,
                folder=folder,
            )
        return weights(model)

    with pytest.raises(KeyboardInterrupt):
        once(tmp_path, ahead)
    assert equal(once(tmp_path, ahead), once(None, None))
