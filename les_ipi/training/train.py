"""``les-ipi train``: from a TOML file to a model folder with weights, card, learning curves and parity plots."""

import json
import math
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader

from les_ipi.errors import UserError
from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.models.derivatives import Leaves
from les_ipi.models.electronegativity import PAULING
from les_ipi.models.les_model import LESModel
from les_ipi.models.model_config import ModelConfig, build_model
from les_ipi.models.storage import save_model
from les_ipi.structures.batch import Padding
from les_ipi.structures.system import places_by_boundary
from les_ipi.training.data import Frame, FrameDataset, load_frames, shortest_distances, split_blocks
from les_ipi.training.energy_zeros import on_first_zero, refit_energy_zeros
from les_ipi.training.file_networks import networks_per_file
from les_ipi.training.fine_tuning import Parent, load_parent
from les_ipi.training.label_checks import check_charge_losses, check_losses, check_oxidation_numbers
from les_ipi.training.linear_start import apply_linear_start, fit_linear_start
from les_ipi.training.loss import batches_by_boundary
from les_ipi.training.module import PotentialModule
from les_ipi.training.padding import CommonShapes
from les_ipi.training.plots import plot_learning_curves, plot_parity
from les_ipi.training.resuming import remember, remembered_start
from les_ipi.training.scoring import evaluate_frames
from les_ipi.training.training_config import OptimiserConfig, TrainConfig

#: Frames that set the mean and scale of the features.
STANDARDISATION_FRAMES = 24
#: Frames from which the sign of the charges is taken.
SIGN_FRAMES = 4
#: First short-range energies are this fraction of (rms force × 1 Å): outputs of order one start with small forces.
ENERGY_SCALE_FRACTION = 0.3

#: The core repulsion of a pair ends at this multiple of the shortest distance in the data: weak there, strong below it.
CORE_REACH = 1.25

#: A training compiles its loss from this many evaluations of a frame on (about the time that compiling takes) ...
COMPILE_FROM_EVALUATIONS = 5000
#: ... unless the padding to common shapes makes the tables larger than this factor.
COMPILE_UP_TO_PADDING = 1.5


def train(
    config: TrainConfig,
    data_root: Path,
    output: Path,
    resume: bool = False,
    threads: int | None = None,
    start: str | Path | None = None,
) -> Path:
    """Train a model and write its folder.

    Parameters:
        config: the training file.
        data_root: folder to which the names of the data files are relative.
        output: model folder to write; the checkpoints of the run are in ``output/training``.
        resume: True continues from the last checkpoint.
        threads: number of threads that torch uses, or None to let torch decide.
        start: shipped name or folder of a model to fine-tune, or None for fresh weights.

    Returns the model folder.

    Raises ``UserError`` for missing data, an existing run without ``resume``, frames without forces, or a model to
    start from that does not fit the file or the data.
    """
    if threads:
        torch.set_num_threads(threads)
    work = output / "training"
    checkpoint = work / "last.ckpt"
    if checkpoint.exists() and not resume:
        raise UserError(f"{work} holds an earlier run: pass --resume to continue it, or another --output.")
    if resume and not checkpoint.exists():
        raise UserError(f"There is no checkpoint {checkpoint} to resume from: start without --resume.")

    lightning.seed_everything(config.seed, verbose=False)
    paths = [data_root / f for f in config.data.files]
    start = remembered_start(work, config, start) if resume else start
    parent = None if start is None else load_parent(start, config)
    cutoff = (parent.config if parent else config).short_range.cutoff
    ignore = {data_root / file: labels for file, labels in config.data.ignore.items()}
    frames = load_frames(paths, cutoff, config.data.energy_zero, ignore)
    if not any(f.labels.forces is not None for f in frames):
        raise UserError(f"{paths[0]} has no forces under any known name: training needs energies and forces.")
    training_rows, held_out_rows = split_blocks(len(frames), config.data.validation)
    training, held_out = [frames[i] for i in training_rows], [frames[i] for i in held_out_rows]
    if parent:
        if config.training.linear_start:
            raise UserError("linear_start is for fresh models: remove it from [training] to fine-tune a model.")
        parent.require_elements(frames)
        model, model_config = parent.model, parent.config
        zeros = np.tile(model.reference_energies.numpy(), (_n_zeros(config), 1))
        module = PotentialModule(model, config.training, refit_energy_zeros(model, training, zeros))
    else:
        # What a resumed training starts from is in its checkpoint.
        module, model_config = prepare(config, training, config.training.linear_start and not resume)
    check_losses(module.model, training, config.training)
    check_oxidation_numbers(module.model, training)
    check_charge_losses(module.model, config.training)
    if not resume:
        remember(work, config, start)
    n_training = len(training)
    if config.data.energy_networks == "per_file":
        with networks_per_file(module.model, len(paths)):
            _fit(module, config, training, held_out, work, resume)
        # What is written is the model of the first file.
        training, held_out = ([f for f in part if f.zero == 0] for part in (training, held_out))
        module.zeros = module.zeros[:1]
    else:
        _fit(module, config, training, held_out, work, resume)
    if config.training.linear_start and module.model.head is not None:
        fitted = dict(zip(model_config.species, module.model.head.formal_charges.tolist(), strict=True))
        charges = model_config.charges.model_copy(update={"formal": fitted, "formal_scale": 1.0})
        model_config = model_config.model_copy(update={"charges": charges})
    return _export(module, model_config, config, training, held_out, output, parent, n_training)


def _n_zeros(config: TrainConfig) -> int:
    return len(config.data.files) if config.data.energy_zero == "per_file" else 1


def prepare(
    config: TrainConfig, frames: list[Frame], linear_start: bool = False
) -> tuple[PotentialModule, ModelConfig]:
    """Make a fresh model with reference energies, energy scale and standardised features from the training frames.

    Parameters:
        config: the training file.
        frames: the training frames.
        linear_start: True lets the training begin at the least-squares solution, whose charges are in the head and
            not in the configuration.

    Returns the module that trains the model, and the hyper-parameters of the model.
    """
    numbers = sorted({int(z) for f in frames for z in f.system.numbers})
    from ase.data import chemical_symbols

    short_range = config.short_range
    if short_range.core_cutoff == "auto":
        closest = {
            f"{chemical_symbols[a]}-{chemical_symbols[b]}": round(min(CORE_REACH * r, short_range.cutoff), 3)
            for (a, b), r in shortest_distances(frames, short_range.cutoff).items()
        }
        short_range = short_range.model_copy(update={"core_cutoff": closest})
    model_config = ModelConfig(
        species=tuple(chemical_symbols[z] for z in numbers),
        short_range=short_range,
        charges=config.charges,
        state=config.state,
    )
    model = build_model(model_config)
    squares = [np.mean(f.labels.forces**2) for f in frames if f.labels.forces is not None]
    model.energy_scale.fill_(ENERGY_SCALE_FRACTION * math.sqrt(float(np.mean(squares))))
    sample = frames[:: max(1, len(frames) // STANDARDISATION_FRAMES)]
    columns = max(frame.neighbors.index.shape[1] for frame in sample)
    model.standardise(*batches_by_boundary(sample, model, Padding(columns=columns)))
    if config.training.double_precision:
        model.double()
    if linear_start:
        found = fit_linear_start(model, frames)
        apply_linear_start(model, found)
        values = None if found.charges is None else found.charges.round(3).tolist()
        charges = "" if values is None else f"; latent charges {values} of {model_config.species}"
        error = f"{1e3 * found.force_rmse:.0f} meV/Å on {found.n_tested} frames"
        rank_zero_info(f"Linear start from {found.n_frames} frames: forces {error}{charges}.")
    # What the fresh network and the core repulsion give on average is a part of the energy zero.
    zeros = refit_energy_zeros(model, frames, np.zeros((_n_zeros(config), len(numbers))))
    return PotentialModule(model, config.training, zeros), model_config


def _fit(
    module: PotentialModule,
    config: TrainConfig,
    training: list[Frame],
    validation: list[Frame],
    work: Path,
    resume: bool,
) -> None:
    settings = config.training
    loader = {"collate_fn": list, "num_workers": 0}
    train_loader = DataLoader(FrameDataset(training), batch_size=settings.batch_size, shuffle=True, **loader)
    val_loader = DataLoader(FrameDataset(validation), batch_size=settings.batch_size, **loader) if validation else None
    # The random first weights must not linger in a slow average.
    steps_per_epoch = math.ceil(len(training) / settings.batch_size)
    ema_start = math.ceil(settings.warmup_epochs * steps_per_epoch)
    callbacks = [
        EMAWeightAveraging(decay=settings.ema_decay, use_buffers=False, update_starting_at_step=ema_start),
        # With save_top_k=0, save_last would write nothing before the end of the training.
        ModelCheckpoint(
            dirpath=work,
            filename="last",
            save_last=True,
            save_top_k=1,
            enable_version_counter=False,
            every_n_epochs=settings.validate_every,
        ),
        RichProgressBar(),
    ]
    if settings.early_stopping_patience and validation:
        callbacks.append(EarlyStopping("val_mse_forces", patience=settings.early_stopping_patience))
    work.mkdir(parents=True, exist_ok=True)
    # The logger empties its folder when it starts, so every leg of a resumed run gets its own.
    leg = len(list(work.glob("curves-*")))
    logger = CSVLogger(work, name="", version=f"curves-{leg:03d}")
    trainer = lightning.Trainer(
        max_epochs=settings.max_epochs,
        accelerator="auto",
        devices=1,
        callbacks=callbacks,
        logger=logger,
        gradient_clip_val=settings.gradient_clip,
        check_val_every_n_epoch=settings.validate_every,
        num_sanity_val_steps=0,
        inference_mode=False,
        log_every_n_steps=1,
        enable_model_summary=False,
    )
    module.keep_zeros_fitted(training)
    shapes = CommonShapes(training, module.model)
    if _worth_compiling(shapes, settings, training):
        number = f"{len(shapes.shapes)} graphs" if len(shapes.shapes) > 1 else "one graph"
        rank_zero_info(f"The loss is compiled at the first steps, {number} of a minute or two each.")
        module.compile_loss(shapes)
    # Our own checkpoint of our own folder: weights_only keeps even that free of pickled code.
    checkpoint = str(work / "last.ckpt") if resume else None
    trainer.fit(module, train_loader, val_loader, ckpt_path=checkpoint, weights_only=True)
    plot_learning_curves(sorted(work.glob("curves-*/metrics.csv")), work.parent / "learning_curves.png")


def _worth_compiling(shapes: CommonShapes, settings: OptimiserConfig, frames: list[Frame]) -> bool:
    """Compilation pays off in long trainings on frames of similar size and one boundary."""
    if settings.compile != "auto":
        return settings.compile == "always"
    # Every mixture of boundaries that a random batch can have would need a graph of its own.
    alike = shapes.overhead < COMPILE_UP_TO_PADDING and len(places_by_boundary([f.system for f in frames])) == 1
    return alike and settings.max_epochs * len(frames) >= COMPILE_FROM_EVALUATIONS


def _export(
    module: PotentialModule,
    model_config: ModelConfig,
    config: TrainConfig,
    training: list[Frame],
    held_out: list[Frame],
    output: Path,
    parent: Parent | None,
    n_training: int,
) -> Path:
    """Write the model folder, then measure its held-out errors through the same path that users take."""
    model = module.model.eval().requires_grad_(False)
    # Averaged weights are the mean of many models, and their common energy offset, to which forces are blind, need not
    # vanish: the zeros are fitted once more.
    zeros = refit_energy_zeros(model, training, module.zeros)
    model.reference_energies.copy_(torch.from_numpy(zeros[0]))
    canonical_sign(model, training)
    card = {
        "name": config.name,
        "description": config.description,
        "seed": config.seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "data": {
            "files": [Path(f).name for f in config.data.files],
            "source": config.data.source,
            "licence": config.data.licence,
            "level_of_theory": config.data.level_of_theory,
            "n_training_frames": n_training,
            "total_charges_e": sorted({f.system.total_charge for f in training}),
            "validation_slices": config.data.validation,
        },
        "loss": [s.model_dump() for s in config.training.stages],
        "held_out_errors": {},
    }
    if config.data.ignore:
        card["data"]["ignored_labels"] = config.data.ignore
    if parent:
        card["fine_tuned_from"] = parent.origin
    if len(zeros) > 1:
        names = [Path(f).name for f in config.data.files]
        by_element = [dict(zip(model_config.species, row, strict=True)) for row in zeros.tolist()]
        card["energy_zeros_eV"] = dict(zip(names, by_element, strict=True))
    save_model(output, model, model_config, card)
    if held_out:
        evaluator = Evaluator.load(output, dtype="float32")
        report = evaluate_frames(evaluator, on_first_zero(held_out, zeros, model.species))
        card["held_out_errors"] = report.metrics
        save_model(output, model, model_config, card)
        plot_parity(report, output / "parity.png")
    (output / "errors.json").write_text(json.dumps(card["held_out_errors"], indent=2) + "\n")
    return output


def canonical_sign(model: LESModel, frames: list[Frame]) -> None:
    """Fix the global sign of the latent charges so that electropositive elements are positive.

    The energy is even in the charges, so the sign with which a training ends is arbitrary; a field force is odd in
    it. The electronegativity-weighted charge Σ_i (χ_i − χ̄) q_i over the first frames is made negative. A net charge
    in one of the frames makes the sign physical, and oxidation numbers state it, so nothing is changed then.

    Parameters:
        model: the model whose sign is fixed.
        frames: the training frames.
    """
    if model.head is None or model.head.fixed_scale or any(f.system.total_charge for f in frames):
        return
    charges, species = [], []
    for batch in batches_by_boundary(frames[:SIGN_FRAMES], model):
        leaves = Leaves.of(batch, model.energy_scale.dtype)
        found = model(batch, leaves.edges, leaves.positions, leaves.cell).charges.detach().sum(-1).flatten()
        charges.append(found[batch.atom_mask])
        species.append(batch.species[batch.atom_mask])
    chi = torch.tensor([PAULING[z] for z in model.species])[torch.cat(species)]
    if float(((chi - chi.mean()) * torch.cat(charges)).sum()) > 0:
        model.head.sign.neg_()
