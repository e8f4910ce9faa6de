"""Training a method on a cohort: from patients to a bundle."""

from __future__ import annotations

import importlib.util
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy

from CRONOSLib.bundles.bundle import Bundle
from CRONOSLib.bundles.store import load_bundle
from CRONOSLib.cohorts.manifest import SPLITS, Cohort, read_cohort
from CRONOSLib.errors import CohortError, OutOfMemoryError
from CRONOSLib.forecasting.devices import choose_device, explained_memory
from CRONOSLib.methods.interface import Method
from CRONOSLib.methods.registry import create_method, method_entry
from CRONOSLib.training.averaging import AveragedWeights
from CRONOSLib.training.batches import Batches
from CRONOSLib.training.checkpoints import KeepCheckpoints, WholeCheckpoints, check_checkpoint, load_checkpoint
from CRONOSLib.training.command import command_again
from CRONOSLib.training.conclusion import FitResult, TrainedRun, conclude
from CRONOSLib.training.leaks import refuse_leaks
from CRONOSLib.training.memory import estimate_memory
from CRONOSLib.training.module import StepData, TrainedMethod
from CRONOSLib.training.patients import PreparedPatient, prepare_patients
from CRONOSLib.training.processes import Processes
from CRONOSLib.training.progress import OnStatus, Teller, TellProgress
from CRONOSLib.training.run_folder import RunFolder, RunState
from CRONOSLib.training.settings import TrainSettings
from CRONOSLib.training.starting import settings_from_bundle, start_from
from CRONOSLib.training.stopping import HearStop, StopRequest
from CRONOSLib.training.time_scale import time_scale_of
from CRONOSLib.training.validation import MeasureSkill

Splits = dict[str, list[PreparedPatient]]


def fit(
    cohort: Path,
    method: str,
    out: Path,
    settings: TrainSettings,
    *,
    device: str = "auto",
    on_status: OnStatus | None = None,
) -> FitResult | None:
    """Train, keep the checkpoint with the best validation skill, measure it and save it as a bundle.

    A run cut off is resumed from its last checkpoint when `out` holds one of the same settings and cohort. Started in
    several processes by torchrun or SLURM, it is one run of all of them.

    out:       folder of the run, described in `training.run_folder`
    device:    "auto", "cpu" or "cuda"
    on_status: told what the run does, about once a second; in the first process

    Returns the result in the first process, None in the others.
    Raises CohortError when the cohort is unusable or leaks, the folder belongs to another run or a loss is no finite
    number, MethodError for a method that learns nothing, TrainingStopped when asked to stop, OutputError when the disk
    is full, OutOfMemoryError when a step does not fit.
    """
    if not method_entry(method).learns(settings.preset):
        raise CohortError(f"Method '{method}' has nothing to train. Choose one that needs a bundle (cronos methods).")
    processes = Processes.of_environment()
    settings.check_shares(processes.world)
    where = choose_device(device)
    folder = RunFolder(out)
    with processes.connected(gpu=where.type == "cuda"), ExitStack() as stack:
        run = _Run(read_cohort(cohort), method, folder, settings, processes, where, on_status)
        processes.by_first(lambda: run.enter(stack))
        stack.enter_context(run.stop.listening())
        return run.whole(command_again(Path(cohort), method, settings))


class _Run:
    """One run in one process; what only the first can find out, it tells the others."""

    def __init__(
        self,
        cohort: Cohort,
        method: str,
        folder: RunFolder,
        settings: TrainSettings,
        processes: Processes,
        device: torch.device,
        on_status: OnStatus | None,
    ) -> None:
        self.cohort = cohort
        self.method = method
        self.folder = folder
        self.processes = processes
        self.device = device
        self.source = load_bundle(settings.start_from) if settings.start_from else None
        self.settings = _completed(settings, cohort, method, self.source)
        self.stop = StopRequest(folder)
        self.teller = Teller(folder, on_status) if processes.first else None

    def enter(self, stack: ExitStack) -> None:
        """Have the folder alone, and say how the run ends."""
        assert self.teller is not None
        known = self.folder.read_record() or {}
        if not self.settings.batch_size and "settings" in known:
            self.settings = replace(self.settings, batch_size=known["settings"].get("batch_size", 0))
        self.folder.check(self._record())
        stack.enter_context(self.folder.held())
        stack.callback(self.folder.forget_stop)
        stack.enter_context(self.teller.ending())

    def whole(self, command: str) -> FitResult | None:
        """Prepare, train, measure, save."""
        self._enter(RunState.PREPARING, "Preparing the patients")
        model = self._fresh()  # before the patients, which take long: a wrong name is said at once
        splits = self._prepared()
        self.settings = self.processes.by_first(lambda: self._sized(model, splits["train"]))
        if self.processes.first:
            self.folder.claim(self._record())
        self._optimise(model, splits)
        if not self.processes.first:
            return None
        assert self.teller is not None
        self._enter(RunState.EVALUATING, "Measuring the held-out patients")
        load_checkpoint(self.folder.best, model)
        done = TrainedRun(self.method, self.cohort, self.settings, splits, command, self.source)
        result = conclude(done, model, self.folder.path, self.device, self._measuring)
        self._enter(RunState.DONE, f"Done: skill {result.test} against copying the last scan")
        return result

    def _record(self) -> dict[str, Any]:
        return {
            "cohort": str(self.cohort.folder.resolve()),
            "manifest_sha256": self.cohort.manifest_sha256,
            "method": self.method,
            "start_from_sha256": self.source.weights_sha256 if self.source else "",
            "settings": self.settings.to_json(),
        }

    def _enter(self, state: RunState, message: str) -> None:
        if self.teller:
            self.teller.enter(state, message)

    def _advance(self, fraction: float) -> None:
        self.stop.check()
        if self.teller:
            self.teller.advance(fraction)

    def _measuring(self, what: str, fraction: float) -> None:
        assert self.teller is not None
        self.stop.check()
        self.teller.advance(fraction, message=what)

    def _prepared(self) -> Splits:
        """The first process writes the cache, from which all of them read."""

        def prepared() -> Splits:
            splits = {}
            for number, split in enumerate(SPLITS):

                def told(done: float, before: int = number) -> None:
                    self._advance((before + done) / len(SPLITS))

                single_scans = split == "train" and self.settings.augmentation.synthetic > 0
                preprocessing = self.settings.cohort_preprocessing()
                splits[split] = prepare_patients(self.cohort, split, preprocessing, told, single_scans=single_scans)
            return splits

        self.processes.by_first(lambda: refuse_leaks(prepared()))
        return prepared()

    def _fresh(self) -> Method:
        torch.manual_seed(self.settings.seed)
        model = create_method(self.method, self.settings.method_settings, self.settings.preset)
        if self.source:
            start_from(model, self.source)
        if self.folder.last.is_file():
            check_checkpoint(self.folder.last, model)
        return model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def _sized(self, model: Method, patients: list[PreparedPatient]) -> TrainSettings:
        """The settings with a batch size that fits; what a step takes is said before it begins."""
        assert self.teller is not None
        settings = self.settings
        scans = min(settings.max_context, max(len(patient.times) for patient in patients) - 1)
        largest = max((patient.visits.shape[1:] for patient in patients), key=math.prod)
        estimate = estimate_memory(model, largest, scans, settings, self.device)
        if not settings.batch_size:
            settings = replace(settings, batch_size=estimate.batch_size(len(patients)))
        free = f" of {estimate.free / 1e9:.1f} GB free" if estimate.free is not None else ""
        self._enter(
            RunState.TRAINING,
            f"{len(patients)} patients, {settings.steps} steps of {settings.accumulate * settings.batch_size} patients "
            f"in batches of {settings.batch_size}; "
            f"a batch takes about {estimate.of(settings.batch_size) / 1e9:.1f} GB{free}",
        )
        return settings

    def _optimise(self, model: Method, splits: Splits) -> None:
        settings, processes = self.settings, self.processes
        batches = Batches(splits["train"], settings)
        averaged = AveragedWeights(settings.ema) if settings.ema else None
        measure = MeasureSkill(splits["validation"], settings, processes, averaged)
        keep = KeepCheckpoints(self.folder, settings, measure, self.stop)
        callbacks: list[Callback] = [averaged] if averaged else []
        callbacks += [measure, keep, HearStop(self.stop)]
        if self.teller:
            callbacks.append(TellProgress(self.teller, measure, keep))
        last = self.folder.last if self.folder.last.is_file() else None
        with _quiet(), self._memory_explained():
            trainer = self._trainer(callbacks)
            module = TrainedMethod(model, settings, batches.subjects)
            trainer.fit(module, datamodule=StepData(batches, processes), ckpt_path=last, weights_only=True)
        self.stop.finish(trainer.global_step, settings.steps)

    def _trainer(self, callbacks: list[Callback]) -> lightning.Trainer:
        settings, processes, gpu = self.settings, self.processes, self.device.type == "cuda"
        several: dict[str, Any] = {}
        if processes.world > 1:
            backend = "nccl" if gpu else "gloo"
            several["strategy"] = DDPStrategy(find_unused_parameters=True, process_group_backend=backend)
        logger = processes.first and importlib.util.find_spec("tensorboard") is not None
        return lightning.Trainer(
            default_root_dir=self.folder.path,
            accelerator="gpu" if gpu else "cpu",
            devices=processes.world // processes.nodes,
            num_nodes=processes.nodes,
            plugins=[WholeCheckpoints(), _environment(processes)],
            precision=settings.precision,  # type: ignore[arg-type]
            max_steps=settings.steps,
            min_epochs=0,
            logger=TensorBoardLogger(self.folder.path, name="tensorboard", version="") if logger else False,
            callbacks=callbacks,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            **several,
        )

    @contextmanager
    def _memory_explained(self) -> Iterator[None]:
        try:
            with explained_memory():
                yield
        except OutOfMemoryError as error:
            raise OutOfMemoryError(
                f"A training step with {self.settings.batch_size} patients does not fit into memory. Set 'batch_size' "
                "lower, or to 0 for what fits, and 'accumulate' higher; or choose a coarser grid."
            ) from error


def _completed(settings: TrainSettings, cohort: Cohort, method: str, source: Bundle | None) -> TrainSettings:
    """The settings with what follows from the bundle that the run starts from, and from the cohort."""
    if source is not None:
        return settings_from_bundle(source, cohort, method, settings)
    return settings if settings.time_scale else replace(settings, time_scale=time_scale_of(cohort))


def _environment(processes: Processes) -> LightningEnvironment | SLURMEnvironment | TorchElasticEnvironment:
    """What started the processes; Lightning's own guess takes a mere allocation of SLURM for a start."""
    if processes.world == 1:
        return LightningEnvironment()
    return TorchElasticEnvironment() if TorchElasticEnvironment.detect() else SLURMEnvironment(auto_requeue=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's remarks on devices, logging intervals, loader workers and folders that are not empty."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)
