"""How well a device profile predicts networks that it has never seen, in its own space.

    python -m benchmarks.latency.own_space [--runtime onnxruntime --runtime openvino]
        [--space search_spaces/mobilenetv2.yaml] [--networks 60] [--picture FILE]

One process measures the profile (`nas profile`, at most ten whole networks in its fit); this
one then times networks drawn uniformly from the space, twice over, and compares. The ceiling is
how well the two timings agree with each other.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr

from nas.latency.deployment import build_deployed
from nas.latency.measure import Anchor, Subject, measure_together
from nas.latency.profile import Profile, load_profile
from nas.latency.quality import judge_predictions
from nas.latency.runtime import clock_of, core_of, device_named
from nas.latency.survey import loader_of
from nas.models.candidates import Candidates, load_space
from nas.spec.architecture import Architecture

FITTED = 9  # and the plain network
ROUNDS = 40


def drawn(candidates: Candidates, number: int, seed: int) -> list[Architecture]:
    """Each place's choice uniform, as the space lists them."""
    rng = random.Random(seed)
    found: dict[str, Architecture] = {}
    while len(found) < number:
        values = {name: rng.choice(labels) for name, labels in candidates.parameters().items()}
        architecture = candidates.architecture(values)
        found.setdefault(architecture.digest, architecture)
    return list(found.values())


def timed(profile: Profile, networks: list[Architecture]) -> np.ndarray:
    """Milliseconds of each network, twice: (2, n)."""
    device = device_named(profile.device)
    prepare = loader_of(device)

    def subject(architecture: Architecture) -> Subject:
        shape = architecture.size.shape
        session = prepare(build_deployed(architecture, profile.task), shape)
        return Subject(session, (device.batch, *shape))

    branch = profile.branches[0]
    plain = Architecture(branch.backbone, branch.resolution, (), branch.total_stride)
    # The plain network takes what it took when the profile was measured.
    beside = Anchor(subject(plain), branch.plain_ms)
    subjects = {item.digest: subject(item) for item in networks}
    runs = []
    for seed in (1, 2):
        found = measure_together(
            subjects, beside, seed=seed, core=core_of(device), clock=clock_of(device), rounds=ROUNDS
        )
        runs.append([found[item.digest].latency_ms for item in networks])
    return np.array(runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runtime", action="append", default=[])
    parser.add_argument("--space", type=Path, default=Path("search_spaces/mobilenetv2.yaml"))
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    networks = drawn(Candidates(load_space(arguments.space)), arguments.networks, seed=12345)
    shown = []
    for runtime in arguments.runtime or ["onnxruntime", "openvino"]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "device.json")
            started = time.perf_counter()
            command = [sys.executable, "-m", "nas", "profile", str(arguments.space)]
            command += ["--runtime", runtime, "--networks", str(FITTED), "--held-out", "0"]
            subprocess.run([*command, "--out", str(path)], check=True, capture_output=True)
            seconds = time.perf_counter() - started
            profile = load_profile(path)
        measured = timed(profile, networks)
        mean = measured.mean(axis=0)
        predicted, half = profile.predict_many(networks)
        found = judge_predictions(predicted, half, mean)
        ceiling = spearmanr(*measured).statistic
        apart = np.abs(measured[0] / measured[1] - 1)
        errors = np.abs(predicted / mean - 1)
        print(
            f"{profile.runtime}: {len(networks)} networks, {mean.min():.2f} to {mean.max():.2f} ms"
            f" (plain {profile.branches[0].plain_ms:.2f}), profile in {seconds:.0f} s\n"
            f"  Spearman {found.spearman:.4f}, between timings {ceiling:.4f};"
            f" MAPE {found.mape:.2%}, between timings {apart.mean():.2%}\n"
            f"  within 5 %: {found.within_5:.1%}, within 10 %: {(errors <= 0.1).mean():.1%},"
            f" worst {found.worst:.1%}; bias {(predicted / mean - 1).mean():+.2%};"
            f" in their 90 % intervals: {found.covered:.0%}",
            flush=True,
        )
        shown.append((profile.runtime, mean, predicted))
    if arguments.picture:
        draw(shown, arguments.picture)


def draw(shown: list[tuple[str, np.ndarray, np.ndarray]], path: Path) -> None:
    figure, axes = plt.subplots(1, len(shown), figsize=(4.2 * len(shown), 4.2), squeeze=False)
    for axis, (name, measured, predicted) in zip(axes[0], shown, strict=True):
        ends = [0.97 * measured.min(), 1.03 * measured.max()]
        axis.fill_between(
            ends,
            [0.95 * end for end in ends],
            [1.05 * end for end in ends],
            color="#e6e6e6",
            linewidth=0,
            label="within 5 %",
        )
        axis.plot(ends, ends, color="#888888", linewidth=1)
        axis.scatter(measured, predicted, s=16, color="#2a6f97")
        axis.set(title=name, xlabel="measured, ms", ylabel="predicted, ms", xlim=ends, ylim=ends)
        axis.legend(frameon=False, loc="upper left")
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
