"""The progress bar of ``les-ipi run``: steps, speed in ns/day and drift of the conserved quantity."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from les_ipi.units import HARTREE_EV

#: The shortest run whose mean drift says something, ps.
SHORTEST_PS = 0.25


class RunProgress:
    """Context manager that shows how far a run is: as a bar on a terminal, as one line a minute in the log of a batch
    job.

    Parameters:
        first_step: step at which the run begins.
        total_steps: step at which it ends.
        timestep_fs: time step in fs.
        n_atoms: number of atoms.
    """

    def __init__(self, first_step: int, total_steps: int, timestep_fs: float, n_atoms: int):
        self.console = Console(stderr=True)
        self.timestep_fs = timestep_fs
        self.n_atoms = n_atoms
        self.total_steps = total_steps
        self.step = first_step
        self._started: tuple[float, int] | None = None
        self._conserved_at_start = self._conserved = 0.0
        self._logged = time.monotonic()
        self._bar = Progress(
            BarColumn(), MofNCompleteColumn(), TextColumn("steps"), TimeRemainingColumn(),
            TextColumn("{task.description}"), console=self.console, disable=not self.console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=total_steps, completed=first_step)

    def __enter__(self) -> "RunProgress":
        self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        self._bar.stop()

    def update(self, step: int, conserved: float) -> None:
        """Take one report of i-PI.

        Parameters:
            step: number of steps that are done.
            conserved: the conserved quantity in hartree for each bead.
        """
        now = time.monotonic()
        self.step = step
        if self._started is None:
            self._started, self._conserved_at_start = (now, step), conserved
        self._conserved = conserved
        text = self.describe(now)
        self._bar.update(self._task, completed=step, description=text)
        if not self.console.is_terminal and (now - self._logged > 60 or step == self.total_steps):
            self._logged = now
            self.console.print(f"step {step}/{self.total_steps}  {text}", highlight=False)

    def drift_per_ps(self) -> float | None:
        """Mean drift of the conserved quantity in meV/atom/ps, or None if the run is too short to tell."""
        length_ps = 0.0 if self._started is None else (self.step - self._started[1]) * self.timestep_fs / 1000.0
        return None if length_ps < SHORTEST_PS else self._drift() / length_ps

    def _drift(self) -> float:
        return (self._conserved - self._conserved_at_start) * HARTREE_EV * 1000 / self.n_atoms

    def describe(self, now: float) -> str:
        """Describe the speed of the run and the drift of the conserved quantity since the first report, as a text."""
        started, first = self._started
        text = f"drift {self._drift():+.2g} meV/atom"
        if self.step > first:
            speed = (self.step - first) * self.timestep_fs * 1e-6 / ((now - started) / 86400)
            text = f"{speed:.3g} ns/day  {text}"
        return text
