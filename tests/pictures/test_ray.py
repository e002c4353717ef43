"""The engine of many machines fills the same store, row by row, also when a worker is killed in the middle.

Two workers of a local Ray cluster, each with a process of its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

ray = pytest.importorskip("ray", reason="needs the extra 'scale'")
pytestmark = pytest.mark.filterwarnings("default")

from patches import Patches, write_images, write_table  # noqa: E402
from ray_models import Another, Broken, Dying  # noqa: E402

from equipoise.data.samples import read_samples  # noqa: E402
from equipoise.embed import embed  # noqa: E402
from equipoise.errors import EmbeddingError, FingerprintError  # noqa: E402
from equipoise.store.embeddings import EmbeddingSet  # noqa: E402

COUNT, SHARD = 60, 5


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory):
    tests = str(Path(__file__).parents[1])
    paths = os.pathsep.join([tests, *sys.path])
    os.environ["EQUIPOISE_RAY_WORKERS"] = "2"
    ray.init(
        num_cpus=3, include_dashboard=False, log_to_driver=False, configure_logging=False,
        runtime_env={"env_vars": {"PYTHONPATH": paths}}, object_store_memory=200 * 2**20,
    )  # fmt: skip
    yield
    ray.shutdown()
    del os.environ["EQUIPOISE_RAY_WORKERS"]


@pytest.fixture
def samples(tmp_path: Path):
    names = write_images(tmp_path / "pictures", COUNT)
    (tmp_path / "pictures" / names[7]).write_bytes(b"junk")
    write_table(tmp_path / "pictures" / "table.csv", names)
    return read_samples(tmp_path / "pictures" / "table.csv", image="image", attributes=["group"])


def files(store: Path) -> dict[str, bytes]:
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in sorted(store.rglob("*")) if p.is_file() and not p.name.startswith(".")}  # fmt: skip


def test_the_store_is_the_same_with_a_worker_killed(cluster, samples, tmp_path: Path) -> None:
    here = embed(Patches(), samples, store=tmp_path / "here", batch_size=4, shard_rows=SHARD)
    model = Dying()
    model.mark = str(tmp_path)
    there = embed(model, samples, store=tmp_path / "there", batch_size=4, shard_rows=SHARD, engine="ray")
    assert (tmp_path / "died").exists()
    assert there.samples.ids == here.samples.ids
    assert (len(there), there.set_aside) == (COUNT - 1, here.set_aside)
    np.testing.assert_array_equal(there.vectors(), here.vectors())
    assert files(tmp_path / "there") == files(tmp_path / "here")
    np.testing.assert_array_equal(EmbeddingSet.load(tmp_path / "there").vectors(), here.vectors())


def test_a_store_begun_here_is_finished_there(cluster, samples, tmp_path: Path) -> None:
    part = samples.take(np.arange(20))
    embed(Patches(), part, store=tmp_path / "s", batch_size=4, shard_rows=SHARD)
    found = embed(Patches(), samples, store=tmp_path / "s", batch_size=4, shard_rows=SHARD, engine="ray")
    whole = embed(Patches(), samples, batch_size=4, shard_rows=SHARD)
    np.testing.assert_array_equal(found.vectors(), whole.vectors())


def test_a_models_error_is_the_models_error(cluster, samples) -> None:
    with pytest.raises(EmbeddingError, match="patches"):
        embed(Broken(), samples, batch_size=4, shard_rows=SHARD, engine="ray")


def test_a_worker_with_another_model_is_refused(cluster, samples) -> None:
    with pytest.raises(FingerprintError, match="weights: a -> b"):
        embed(Another(), samples, batch_size=4, shard_rows=SHARD, engine="ray")
