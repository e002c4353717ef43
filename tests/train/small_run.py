"""A small training run with all that a checkpoint must hold (dropout, batch statistics, AdamW, waiting rows).

Run as a script it is killed again and again, at random moments, until it is done: ``small_run.py FOLDER KILLS``.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

ROWS, STEPS = 40, 30


class Shuffled:
    """A sampler with a new order each epoch."""

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return iter(np.random.default_rng(self.epoch).permutation(ROWS).tolist())


def build():
    import torch

    torch.manual_seed(7)
    return torch.nn.Sequential(
        torch.nn.Linear(6, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU(), torch.nn.Dropout(0.3), torch.nn.Linear(16, 1)
    )


def data():
    import torch

    source = torch.Generator().manual_seed(1)
    x = torch.randn(ROWS, 6, generator=source)
    return x, (x.sum(1, keepdim=True) > 0).float()


def run(folder, *, steps=STEPS, pause=0.0, loss=None, model=None, **recipe):
    """Train and return (model, what `train` gave)."""
    import torch

    from equipoise.train.loop import train
    from equipoise.train.sampling import Batches
    from equipoise.train.schedule import Recipe

    model = build() if model is None else model
    x, y = data()

    def objective(rows):
        time.sleep(pause)
        value = torch.nn.functional.binary_cross_entropy_with_logits(model(x[rows]), y[rows])
        return value, {"rows": len(rows)}

    model.train()
    options = {"learning_rate": 0.05, "checkpoint_every": 4, "warmup": 0.2, "accumulate": 2, **recipe}
    done = train(
        model,
        Batches(Shuffled(), 9, apart=[np.arange(ROWS) // 3]),
        loss or objective,
        Recipe(steps=steps, **options),
        folder=folder,
    )
    return model, done


def main(folder, kills):
    import torch

    torch.set_num_threads(1)
    run(None, steps=1)  # whatever is imported late is imported now
    rng, hit = random.Random(0), 0
    while True:
        child = os.fork()
        if not child:
            run(folder, pause=0.002 if hit < kills else 0.0)
            os._exit(0)
        if hit < kills:
            time.sleep(rng.uniform(0.0, 0.06))
            os.kill(child, signal.SIGKILL)
        hit += 1
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            print(hit - 1)
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
