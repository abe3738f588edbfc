"""The Lightning module: one model, its loss schedule and its optimiser."""

from functools import partial

import lightning
import numpy as np
import torch
from torch import Tensor

from les_ipi.models.les_model import LESModel
from les_ipi.structures.batch import Batch, Padding
from les_ipi.training.compiled import CompiledLoss
from les_ipi.training.data import Frame
from les_ipi.training.energy_zeros import refit_energy_zeros
from les_ipi.training.loss import Targets, make_tables, training_loss
from les_ipi.training.optimiser import learning_rate_factor, make_optimiser
from les_ipi.training.padding import CommonShapes
from les_ipi.training.training_config import LossStage, OptimiserConfig

#: Epochs between two fits of the energy zeros of several files.
REFIT_ZEROS_EVERY = 5


class PotentialModule(lightning.LightningModule):
    """Lightning module that trains a :class:`LESModel`. It logs root mean square errors in meV/atom and meV/Å.

    Parameters:
        model: the model to train.
        settings: settings of the optimiser, and the loss stages.
        zeros: array (n_zeros, n_species) of reference energies in eV, in float64, which are kept out of single
            precision.
    """

    def __init__(self, model: LESModel, settings: OptimiserConfig, zeros: np.ndarray):
        super().__init__()
        self.model, self.settings, self.zeros = model, settings, zeros
        self._zero_frames: list[Frame] = []
        #: Stage for which the energy zeros were fitted last; None where that is not known.
        self._fitted_for: LossStage | None = self.stage
        self._compiled: CompiledLoss | None = None
        self._shapes: CommonShapes | None = None

    def compile_loss(self, shapes: CommonShapes) -> None:
        """Train with compiled graphs from now on, with all batches padded to one of these shapes."""
        self._compiled, self._shapes = CompiledLoss(self.model), shapes

    def keep_zeros_fitted(self, frames: list[Frame]) -> None:
        """Fit the energy zeros to these training frames whenever a loss stage begins, and those of several files more often.

        Weights that learned mainly from forces have an energy offset of their own, which a stage with large energy weights
        would first have to learn, at the cost of the forces.
        """
        self._zero_frames = frames

    def on_train_epoch_start(self) -> None:
        due = len(self.zeros) > 1 and self.current_epoch % REFIT_ZEROS_EVERY == 0
        if self._zero_frames and (due or self.stage != self._fitted_for):
            self.zeros = refit_energy_zeros(self.model, self._zero_frames, self.zeros)
            self._fitted_for = self.stage

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["energy_zeros"] = torch.from_numpy(self.zeros)
        checkpoint["zeros_fitted_for"] = self._fitted_for.model_dump_json()

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        # Checkpoints of earlier versions have no zeros: these are then fitted to their weights.
        self._fitted_for = None
        if "energy_zeros" in checkpoint:
            self.zeros = checkpoint["energy_zeros"].numpy()
            self._fitted_for = LossStage.model_validate_json(checkpoint["zeros_fitted_for"])

    @property
    def stage(self) -> LossStage:
        """Loss weights of the current epoch."""
        reached = [s for s in self.settings.stages if s.from_epoch <= self.current_epoch]
        return max(reached, key=lambda s: s.from_epoch, default=self.settings.stages[0])

    def transfer_batch_to_device(self, batch: list[Frame], device: torch.device, dataloader_idx: int) -> list[Frame]:
        """Frames stay on the host; :meth:`_step` moves the tensors it builds from them."""
        return batch

    def _tables(self, frames: list[Frame]) -> list[tuple[Batch, Targets]]:
        padding = self._shapes.of(frames) if self._shapes else Padding()
        tables = make_tables(frames, self.model, self.zeros, padding)
        return [(batch.to(self.device), targets.to(self.device)) for batch, targets in tables]

    def training_step(self, frames: list[Frame], index: int) -> Tensor:
        tables = self._tables(frames)
        found = self._compiled(tables, self.stage) if self._compiled else None
        loss, parts = found or training_loss(self.model, tables, self.stage)
        self._log("train", loss, parts, len(frames))
        return loss

    def validation_step(self, frames: list[Frame], index: int) -> None:
        with torch.enable_grad():
            loss, parts = training_loss(self.model, self._tables(frames), self.stage)
        self._log("val", loss.detach(), parts, len(frames))

    def _log(self, prefix: str, loss: Tensor, parts: dict[str, Tensor], n: int) -> None:
        options = {"on_step": False, "on_epoch": True, "batch_size": n}
        self.log(f"{prefix}_loss", loss.detach(), **options)
        for name, value in parts.items():
            # Mean squares average correctly over batches; the learning curves take the root.
            self.log(f"{prefix}_mse_{name}", value.detach(), prog_bar=name == "forces", **options)

    def configure_optimizers(self):
        settings = self.settings
        charge_modules = filter(None, (self.model.head, self.model.charge_descriptor))
        charges = [p for module in charge_modules for p in module.parameters()]
        optimizer = make_optimiser(self.model, charges, settings)
        total = max(1, int(self.trainer.estimated_stepping_batches))
        warmup = max(1, round(total * settings.warmup_epochs / settings.max_epochs))
        factor = partial(learning_rate_factor, total=total, warmup=warmup, settings=settings)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
