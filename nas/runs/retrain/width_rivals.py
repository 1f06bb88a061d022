"""A sceptic's rivals of a search: the plain network, widened to the latency of its winners.

They are trials of the study like the networks that are placed by hand: trained once as the search
trains, so that whatever reads a study finds latency, size and figures, and then fully beside the
plain network and the winners.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from nas.backbones import shapes, widened, widths
from nas.base.errors import NasError, StorageError
from nas.execution.evaluator import EvaluatorSpec
from nas.execution.executor import LatencyMachine
from nas.execution.observer import Observer
from nas.latency.runtime import device_named
from nas.latency.source import measure_architectures
from nas.latency.survey import is_of_this_machine
from nas.runs.choose_executor import latency_machine
from nas.runs.drive import write_results
from nas.runs.further_trial import train_further
from nas.runs.lock import run_lock
from nas.runs.prepare import SearchInputs, prepare
from nas.runs.profiled_latency import WIDTH_ELSEWHERE
from nas.runs.retrain.budget import estimate_seconds
from nas.runs.run import Run
from nas.spec.architecture import Architecture
from nas.spec.width import is_widened, rival_name
from nas.strategy.storage.store import Store
from nas.study.front.width_rival import ABOVE, find_winners
from nas.study.record import COMPLETE, Latency

__all__ = ["WidthRivals", "widest_within"]


def widest_within(
    factors: Sequence[float], latency_of: Callable[[float], float], limit_ms: float
) -> float | None:
    """Return the greatest factor whose latency is within a limit, by bisection; None: none is.

    factors: in their order, with latencies that rise but for their noise.
    """
    low, high = -1, len(factors)  # low is within, high is not
    while high - low > 1:
        middle = (low + high) // 2
        if latency_of(factors[middle]) <= limit_ms:
            low = middle
        else:
            high = middle
    return None if low < 0 else factors[low]


class WidthRivals:
    """The widened plain networks of a run; latencies that were measured once are kept."""

    def __init__(self, run: Run, observer: Observer) -> None:
        self._run = run
        self._observer = observer
        self._known: dict[str, Latency] = {}
        self._times_plain: dict[str, float] = {}
        self._settled = False

    def enter(self, trials: Sequence[int], *, most: int, affordable: float = math.inf) -> bool:
        """Enter the rivals of winners into the study, those that it lacks; say whether any is new.

        trials: of networks that are to be trained fully; those that are no winners have no rival.
        most: rivals that the study may have; the winners that gain most, as believed, come first.
        affordable: how many times as long as the plain network's a rival's full training may take.
        What stands in the way is told to the observer, and the search goes on without rivals.
        Raises StorageError.
        """
        if self._settled:
            return False
        state = self._run.read()
        points = state.front(once=True).points
        winners = [point for point in find_winners(points, points) if point.trial in trials]
        # Where no accuracy is believed in, none has a gain in it.
        known = not any(math.isnan(point.gain) for point in winners)
        winners.sort(key=lambda point: point.gain if known else point.gain_loss, reverse=True)
        plain = next((point for point in points if point.is_plain), None)
        left = most - sum(map(is_widened, state.trials["reference"]))
        if not winners or plain is None or left < 1:
            return False
        if obstacle := self._obstacle(plain.architecture.backbone):
            self._settled = True
            self._observer.stage(f"would width do better? {obstacle}")
            return False
        before = {str(digest) for digest in state.trials["digest"]}
        try:
            with run_lock(self._run.path), latency_machine(self._run, self._observer) as machine:
                return self._enter(
                    plain.architecture,
                    [point.latency_ms for point in winners],
                    before,
                    left,
                    affordable,
                    machine,
                )
        except StorageError:
            raise
        except NasError as error:
            self._settled = True
            self._observer.stage(f"would width do better? It cannot be checked: {error}")
            return False

    def _obstacle(self, backbone: str) -> str | None:
        if self._run.file.regime != "scratch":
            return (
                "Not asked in the regime finetune: the plain network widened has no trained weights"
            )
        if not widths(backbone):
            return f"Not checked: {backbone} has no width that could be raised"
        return None

    def _enter(
        self,
        plain: Architecture,
        limits_ms: Sequence[float],
        before: set[str],
        most: int,
        affordable: float,
        machine: LatencyMachine,
    ) -> bool:
        inputs = SearchInputs.read(self._run)
        spec = prepare(inputs, self._observer, machine)
        latency_of = self._latencies(inputs, spec, machine)
        factors = widths(plain.backbone)
        new: dict[str, tuple[float, Architecture]] = {}
        for limit_ms in limits_ms:
            if len(new) == most:
                break
            self._observer.stage(
                f"finding the width of {plain.backbone} that takes {limit_ms:.4g} ms"
            )
            factor = widest_within(
                factors,
                lambda factor: latency_of(_widen(plain, factor)).latency_ms,
                limit_ms * (1 + ABOVE),
            )
            if factor is None or _is_same(plain, _widen(plain, factor)):
                continue
            # Of the factors that make this network, the first names it.
            row = factors.index(factor)
            while row and _is_same(_widen(plain, factors[row - 1]), _widen(plain, factor)):
                row -= 1
            first = factors[row]
            architecture = _widen(plain, first)
            if architecture.digest not in before and self._is_affordable(
                plain, architecture, rival_name(round(first, 2)), affordable
            ):
                new[architecture.digest] = first, architecture
        for factor, architecture in new.values():
            self._train(spec, architecture, rival_name(round(factor, 2)), latency_of(architecture))
        if new:
            self._note_final({digest: latency_of(item) for digest, (_, item) in new.items()})
            write_results(self._run)
        return bool(new)

    def _is_affordable(
        self, plain: Architecture, rival: Architecture, name: str, affordable: float
    ) -> bool:
        if math.isinf(affordable):
            return True
        if rival.digest not in self._times_plain:
            task = self._run.read().task
            usual = estimate_seconds(self._run, plain, task)
            times = estimate_seconds(self._run, rival, task) / usual
            self._times_plain[rival.digest] = times
            if times > affordable:
                self._observer.stage(
                    f"would width do better? A full training of {name} takes as long as "
                    f"{times:.1f} of the plain network: left out"
                )
        return self._times_plain[rival.digest] <= affordable

    def _latencies(
        self, inputs: SearchInputs, spec: EvaluatorSpec, machine: LatencyMachine
    ) -> Callable[[Architecture], Latency]:
        """Return what tells the latency of a widened network, once for each that there is."""
        profile, device = inputs.profile, device_named(spec.device)
        elsewhere = profile is not None and not machine(is_of_this_machine, profile)
        if elsewhere:
            # A profile holds no other width of its backbone.
            self._observer.stage(
                "latencies of wider networks are predictions: the plain one's on the device, and "
                "how much slower they are than it here"
            )
            device = device_named("local-onnxruntime")

        def latency_of(architecture: Architecture) -> Latency:
            key = str(shapes(architecture.backbone))
            if key not in self._known:
                measured = machine(
                    measure_architectures,
                    [architecture],
                    anchor=Architecture.from_json(spec.anchor),
                    anchor_ms=spec.anchor_ms,
                    task=inputs.task,
                    device=device,
                )[architecture.digest]
                if elsewhere:
                    measured = Latency(measured.latency_ms, None, WIDTH_ELSEWHERE)
                self._known[key] = measured
            return self._known[key]

        return latency_of

    def _train(
        self, spec: EvaluatorSpec, architecture: Architecture, name: str, latency: Latency
    ) -> None:
        """Enter a rival as a trial, and train it as the search trains."""
        self._observer.stage(f"training {name}, {latency.latency_ms:.4g} ms, as the search does")
        record = train_further(self._run, spec, architecture, reference=name, latency=latency)
        if record.state != COMPLETE:
            self._observer.stage(f"{name} cannot be trained: {record.failure}")

    def _note_final(self, measured: Mapping[str, Latency]) -> None:
        """Note latencies beside those of a front that was measured once more, as these were."""
        store = Store(self._run.study, writable=True)
        final = {
            record.digest: (record.final_latency_ms, record.final_latency_spread or 0.0)
            for record in store.records()
            if record.final_latency_ms is not None
        }
        if final:
            new = {digest: (item.latency_ms, item.spread) for digest, item in measured.items()}
            store.note_final(final | new)


def _widen(plain: Architecture, factor: float) -> Architecture:
    backbone = widened(plain.backbone, factor)
    assert backbone is not None, plain
    return replace(plain, backbone=backbone)


def _is_same(one: Architecture, other: Architecture) -> bool:
    return shapes(one.backbone) == shapes(other.backbone)
