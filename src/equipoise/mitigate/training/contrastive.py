"""Contrastive fine-tuning of a CLIP-like model on a person's own pairs of pictures and captions, drawn by weight.

Alabdulmohsin, Wang, Steiner, Goyal, D'Amour, Zhai, "CLIP the Bias: How Useful is Balancing Data in Multimodal
Learning?", ICLR 2024 (arXiv 2403.04547), use the weights of M4 as rates of sub-sampling (in a contrastive batch every pair
is a negative of the others, so a weight in the loss would mean something else) and report that fine-tuning on balanced
data repairs representation bias soon and association bias only with exposure. The losses are those of CLIP (Radford et
al. 2021) and SigLIP (Zhai et al. 2023), whichever the model was made with.

Departures: pairs of one picture or one caption are kept out of one batch, and where that cannot be, are no negatives of
each other; CLIP's scale is held at 100 or below (Radford et al. 2021) and starts where it is; weights are float32.

Notation: n pairs, b pairs a batch, K steps of the optimiser.
"""

from __future__ import annotations

import math
import shutil
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pyarrow as pa

from equipoise.data.samples import Samples
from equipoise.errors import InputError, expect
from equipoise.mitigate.training.folder import MODEL, WORK, FineTuneFolder
from equipoise.mitigate.training.objective import held_scale, loss_of, objective_of
from equipoise.mitigate.training.pair_weights import Given, PairWeights, described, weights_of
from equipoise.mitigate.training.pairs import (
    checked_rows,
    digest_of,
    loader,
    pairs_of,
    refuse_held_out,
    refuse_same_pictures,
    set_aside,
)
from equipoise.mitigate.training.towers import Trainable, choose
from equipoise.protocols import TrainingMitigation
from equipoise.schema import MitigationDocument, plain
from equipoise.train.schedule import Precision, Recipe

SCHEME = "transformers:"


@dataclass(frozen=True)
class FineTuneReport:
    """What a fine-tuning did.

    Attributes
    ----------
    trainable : str
        Which parameters were trained, and how many.
    loss : str
        ``clip`` or ``siglip``.
    steps : int
    epochs : float
        How often the draw was gone through.
    drawn : int
        Pairs of an epoch's draw.
    rows : dict of str to int
        ``in``, ``used``, ``set_aside``, and ``weight_zero`` among the used ones, which were never drawn.
    reasons : dict of str to int
        Why rows were set aside.
    weights : dict
        Where the weights came from, their number, largest share, and effective sample size.
    record : pyarrow.Table
        One row a step: ``step``, ``loss``, ``learning_rate``, ``gradient_norm``, ``scale``, ``twins`` (pairs of a batch that
        are no negatives of each other, since they share a picture or a caption).
    """

    trainable: str
    loss: str
    steps: int
    epochs: float
    drawn: int
    rows: dict[str, int]
    reasons: dict[str, int]
    weights: dict[str, Any]
    record: pa.Table


class ContrastiveFineTune(TrainingMitigation):
    """Fine-tune a CLIP-like model on pairs of pictures and captions that are drawn by weight, as M4 balances them.

    Parameters
    ----------
    attribute : str or sequence of str
        The attributes that the weights balance: those that a ledger takes as targeted.
    trainable : str
        What is trained: ``all``, ``last:2`` (the last two blocks of each tower and the heads), or ``heads`` (what stands
        behind the last block of each tower, the projections, and the scale).
    epochs : float
        How often the draw is gone through.
    steps : int, optional
        Steps of the optimiser, instead of ``epochs``.
    batch_size : int
        Pairs a batch; each is a negative of all others in it.
    learning_rate : float
        Highest learning rate, of AdamW.
    warmup : float
        Share of the steps in which it rises; it then falls as half a cosine.
    weight_decay : float
        On matrices alone.
    clip_norm : float, optional
        Longest gradient.
    accumulate : int
        Batches a step of the optimiser.
    precision : {"float32", "bfloat16"}
        Of the forward pass.
    loss : {"auto", "clip", "siglip"}
        ``auto``: that of the model (``siglip`` where it has a ``logit_bias``).
    checkpoint_every : int
        Steps that a kill can cost.
    device : str
        ``auto`` (the GPU where there is one), ``cpu``, ``cuda:0``.
    seed : int

    Attributes
    ----------
    model_ : TransformersEncoder
        The fine-tuned model.
    report_ : FineTuneReport
    folder : Path
        Where all of it lies; ``reference`` is what to load, as ``"transformers:runs/tuned/model"``.
    """

    name = "contrastive"

    def __init__(
        self,
        attribute: str | Sequence[str] = (),
        *,
        trainable: str = "all",
        epochs: float = 1.0,
        steps: int | None = None,
        batch_size: int = 64,
        learning_rate: float = 1e-5,
        warmup: float = 0.1,
        weight_decay: float = 0.1,
        clip_norm: float | None = 1.0,
        accumulate: int = 1,
        precision: Precision = "float32",
        loss: str = "auto",
        checkpoint_every: int = 100,
        device: str = "auto",
        seed: int = 0,
    ) -> None:
        self.attributes = (attribute,) if isinstance(attribute, str) else tuple(attribute)
        if loss not in ("auto", "clip", "siglip"):
            raise InputError(f"The loss is {loss!r}.", "Give auto, clip or siglip.", value=loss)
        number = isinstance(epochs, (int, float)) and not isinstance(epochs, bool)
        if not number or not math.isfinite(epochs) or epochs <= 0:
            raise InputError(f"'epochs' is {epochs!r}.", "Give a number above 0.", value=epochs)
        self.trainable, self.epochs, self.loss, self.device = trainable, float(epochs), loss, device
        self.batch_size, self.fixed_steps = batch_size, steps
        self._options: dict[str, Any] = {
            "learning_rate": learning_rate, "warmup": warmup, "weight_decay": weight_decay, "clip_norm": clip_norm,
            "accumulate": accumulate, "precision": precision, "checkpoint_every": checkpoint_every, "seed": seed,
        }  # fmt: skip
        self.recipe = Recipe(steps=1 if steps is None else steps, **self._options)

    @property
    def reference(self) -> str:
        """What ``load_encoder`` and ``--encoder`` take."""
        return f"{SCHEME}{self.folder / MODEL}"

    @property
    def model_(self) -> Any:
        """The fine-tuned encoder, read from the folder."""
        from equipoise.models.transformers import load

        return load(str(self.folder / MODEL), device=self.device)

    def fit(
        self,
        model: str | Path,
        samples: Samples,
        *,
        weights: Given = None,
        held_out: Samples | None = None,
        out: str | Path | None = None,
        overwrite: bool = False,
    ) -> ContrastiveFineTune:
        """Fine-tune; a run that was killed goes on when it is called again with the same arguments.

        Parameters
        ----------
        model : str
            ``transformers:FOLDER`` or ``transformers:OWNER/NAME``.
        samples : Samples
            Training rows with the roles ``image`` and ``caption``.
        weights : path, array, DataMitigation, optional
            See :func:`equipoise.mitigate.training.pair_weights.weights_of`: the file that ``equipoise balance`` wrote, a
            fitted :class:`~equipoise.mitigate.data.m4.M4`.
        held_out : Samples, optional
            Rows on which the model will be audited.
        out : path, optional
            Folder to write; a temporary one that lasts as long as this object when None.
        overwrite : bool
            Replace the output of another run.

        Raises
        ------
        LeakageError
            If held-out rows, or their pictures, would be trained on, or the weights were fitted on them.
        InputError
            If a role is missing, no pair can be used, a batch is larger than the draw, or a model has no two towers.
        MethodRefusal
            If the loss or the gradient becomes NaN; the last checkpoint stays.
        OutputExistsError, LockedError
            If the folder holds another run, or another process works on it.
        """
        expect(
            samples,
            Samples,
            "What is to be trained on",
            "Give Samples: equipoise.read_samples(table, image=..., caption=...).",
        )
        for role in ("image", "caption"):
            if role not in samples.roles:
                raise InputError(f"No column of {role}s is named.", f"Name it (--{role}).", value=role)
        given = weights_of(weights, samples)
        refuse_held_out(samples, held_out, given)
        argument = _argument(model)
        from equipoise.models.transformers import load

        encoder = load(argument, device=self.device)
        chosen = choose(encoder.model, self.trainable)
        kind = loss_of(encoder, self.loss)
        if out is None:
            out = mkdtemp(prefix="equipoise-")
            weakref.finalize(self, shutil.rmtree, out, ignore_errors=True)
        self.folder = Path(out)
        decides = {
            "method": self.name, "method_version": self.version, "model": encoder.fingerprint, "loss": kind,
            "trainable": self.trainable, "device": encoder.model.device.type, "recipe": self.recipe.as_dict(),
            "epochs": self.epochs, "steps": self.fixed_steps, "batch_size": self.batch_size,
            "attributes": list(self.attributes), "inputs": {**samples.inputs, **given.inputs},
            "pairs": digest_of(samples, given), "rows": dict(samples.conditions),
        }  # fmt: skip
        with FineTuneFolder(self.folder, plain(decides), overwrite=overwrite) as folder:
            if not folder.finished:
                self._train(folder, encoder, chosen, kind, samples, given, held_out, str(model), argument)
            self._read(folder.document())
            folder.tidy()
        return self

    @classmethod
    def from_folder(cls, folder: str | Path, document: MitigationDocument) -> ContrastiveFineTune:
        """Return what a finished run left in a folder."""
        stated = document.parameters
        recipe = dict(stated["recipe"])
        steps = recipe.pop("steps")
        for name in ("betas", "epsilon", "shape"):
            recipe.pop(name)
        found = cls(
            document.attributes, trainable=stated["trainable"], epochs=stated["epochs"],
            steps=steps if stated["steps_given"] else None, batch_size=stated["batch_size"], loss=stated["loss"], **recipe,
        )  # fmt: skip
        found.folder = Path(folder)
        found._read(document)
        return found

    def _train(
        self, folder: FineTuneFolder, encoder: Any, chosen: Trainable, kind: str, samples: Samples, given: PairWeights,
        held_out: Samples | None, ref: str, argument: str,
    ) -> None:  # fmt: skip
        from equipoise.mitigate.data.sampler import BalancedSampler
        from equipoise.models.checkpoint import find
        from equipoise.train.loop import train
        from equipoise.train.sampling import Batches

        prepare = encoder.preprocessing.picture
        rows = folder.rows(lambda: checked_rows(samples, given, prepare))
        refuse_same_pictures(rows, held_out)
        pairs = pairs_of(samples, rows)
        sampler = BalancedSampler(pairs.weights, seed=self.recipe.seed)
        batches = Batches(sampler, self.batch_size, apart=pairs.apart)
        a_step = self.batch_size * self.recipe.accumulate
        steps = self.fixed_steps or max(1, round(self.epochs * batches.epoch_rows / a_step))
        self.recipe = Recipe(steps=steps, **self._options)
        encoder.model.train()
        done = train(
            encoder.model, batches, objective_of(encoder, pairs, kind), self.recipe, loader=loader(pairs, prepare),
            after_step=held_scale(encoder.model, kind), folder=folder.path(WORK), run={"pairs": len(pairs), "batch": self.batch_size},
            what="fine-tuning",
        )  # fmt: skip
        encoder.model.eval()
        aside = set_aside(rows)
        statuses = rows["status"].to_pylist()
        parameters = {
            "model": ref, "recipe": self.recipe.as_dict(), "trainable": self.trainable, "trained": str(chosen),
            "trained_parameters": chosen.parameters, "all_parameters": chosen.of, "loss": kind, "epochs": self.epochs,
            "steps_given": self.fixed_steps is not None, "batch_size": self.batch_size, "drawn": batches.epoch_rows,
            "epochs_done": steps * a_step / batches.epoch_rows,
            "rows": {"in": len(samples), "used": len(samples) - sum(aside.values()), "set_aside": sum(aside.values()),
                     "weight_zero": statuses.count("zero")},
            "set_aside": aside, "weights": described(given.source, pairs.weights),
        }  # fmt: skip
        folder.write_model(encoder.model, find(argument).folder)
        folder.finish(self, plain(parameters), {"ref": ref, "name": encoder.name, "fingerprint": plain(encoder.fingerprint)},
                      {**samples.inputs, **given.inputs}, done.record, pairs.ids)  # fmt: skip

    def _read(self, document: MitigationDocument) -> None:
        stated = document.parameters
        folder = FineTuneFolder(self.folder, {})
        self.attributes = tuple(document.attributes)
        self.fit_rows = folder.fit_rows(document)
        self.recipe = Recipe(**{**stated["recipe"], "betas": tuple(stated["recipe"]["betas"])})
        self.encoder, self.inputs = document.encoder, document.inputs
        self.report_ = FineTuneReport(
            stated["trained"], stated["loss"], self.recipe.steps, stated["epochs_done"], stated["drawn"], stated["rows"],
            stated["set_aside"], stated["weights"], folder.record(document),
        )  # fmt: skip


def _argument(model: str | Path) -> str:
    if isinstance(model, Path) or (isinstance(model, str) and model.startswith(SCHEME)):
        return str(model).removeprefix(SCHEME)
    raise InputError(
        f"The model is {model!r}.", "Name a model of transformers: transformers:FOLDER or transformers:OWNER/NAME.",
        value=str(model),
    )  # fmt: skip
