"""The README of a winner pack: what the network is, what was measured, how to use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nas.backbones import timm_networks
from nas.base.formats import describe_uncounted
from nas.base.size import Size
from nas.export.target.target import Target
from nas.export.tasks import ExportTask, export_task
from nas.export.winner import Winner
from nas.spec.own_backbone import brief
from nas.spec.task import ACCURACY, Task

__all__ = ["DEPARTS", "write_card"]

DEPARTS = (
    "that is beyond the noise of these images, as where training was judged at another resolution"
)

Report = Mapping[str, Any]


def write_card(winner: Winner, target: Target, report: Report) -> str:
    """Return the README of a pack as Markdown.

    report: see `make_report`.
    """
    task = winner.judging
    return "\n".join(
        [
            *_summary(winner, target, report),
            "",
            "## Graphs",
            "",
            *_graphs(winner.task, report["graphs"]),
            "",
            _protocol(winner.task, report),
            *_calibrated(report),
            *_delegates(report["graphs"]),
            "",
            "## Use",
            "",
            *_use(target, task, winner),
            "",
            "## Architecture",
            "",
            *_architecture(winner, report["network"]),
            "",
            "## Limits",
            "",
            "Scores of the validation images were seen by the search, so they flatter a little. "
            "Nothing is known about images of another kind. Licences: NOTICE and licences/.",
            "",
        ]
    )


def _summary(winner: Winner, target: Target, report: Report) -> list[str]:
    architecture, size = winner.architecture, winner.size
    order = "" if size.height == size.width else " (height x width)"
    task = winner.judging
    network, origin = report["network"], report["origin"]
    return [
        f"# {brief(architecture.backbone)} with {len(architecture.blocks)} attention blocks",
        "",
        f"{task.describe_purpose(f'{size} pixels{order}', len(winner.classes))}. "
        f"Found by attention-nas as trial {origin['trial']} "
        f"of the run `{origin['run']}`, on `{origin['data']}`; shipped for {target.title}.",
        "",
        f"On {network.get('judged_on') or task.judged_on(network['images'], network['images'])}, "
        "that training has not seen, but the "
        f"search has chosen by: {task.describe_figures(_figures(network))}{_loss(network)}"
        + _recorded(winner.task, network)
        + ". "
        + (f"**Not to be used as it is: {network['collapsed']}.** " if network["collapsed"] else "")
        + _weights(winner.task, origin, size)
        + _behind(report),
    ]


def _loss(network: Report) -> str:
    return "" if network["loss"] is None else f", loss {network['loss']:.4f}"


def _behind(report: Report) -> str:
    """Say what is not in the latency of a graph."""
    network = report["network"]
    if "suppression_ms" not in network:
        return ""
    within = [graph for graph in report["graphs"] if graph["nms"] == "graph"]
    if within:
        took = ", ".join(
            f"{graph['file']} {graph['latency_with_nms_ms']:.3f} ms"
            for graph in within
            if graph["latency_with_nms_ms"] is not None
        )
        return (
            " Which boxes are kept is computed within the graphs, and is not in the latencies "
            f"below; with it, of an image with as many boxes as the median one: "
            f"{took or 'not measured here'}. Behind a graph it takes "
            f"{network['suppression_ms']:.2f} ms of CPU time (`kept` of outputs.py: numpy, one "
            "thread)."
        )
    return (
        f" Which boxes are kept of what a graph gives takes {network['suppression_ms']:.2f} ms of "
        "CPU time more, the median over these images (`kept` of outputs.py: numpy, one thread)."
    )


def _figures(about: Report) -> Mapping[str, float]:
    """Return the figures of a network or graph by name."""
    figures: Mapping[str, float] = about.get("figures") or {ACCURACY.name: about["accuracy"]}
    return figures


def _recorded(task: Task, network: Report) -> str:
    """Say what was recorded beside what is measured now."""
    recorded = network["recorded_accuracy"]
    if recorded is None:
        return ""
    text = f"; recorded when its training was judged: {_named(task, recorded, 1)}"
    return text + (f" ({DEPARTS})" if network["departs_from_record"] else "")


def _named(task: Task, share: float, digits: int) -> str:
    """Write the figure of the task: `mIoU 45.3%`; of classification the share alone."""
    written = f"{share:.{digits}%}"
    return written if task.is_classification else f"{task.figure.title} {written}"


def _weights(task: Task, origin: Report, size: Size) -> str:
    full = origin["retrained"]
    if full is None:
        return (
            f"Weights: from the search ({origin['proxy']}, seed {origin['seed']}). No test images "
            "were looked at."
        )
    text = f"Weights: trained fully ({full['description']}; seed {full['seed']}"
    text += ", the best full training on validation images). "
    if full["resolution"] != size.written:
        text += f"It was trained on images of {full['resolution']} pixels. "
    if full["test_accuracy"] is None:
        return text + "There are no test images."
    right = " right" if task.is_classification else ""
    return text + (
        f"On {full['test_images']:,} test images, looked at once when the training had ended: "
        f"{_named(task, full['test_accuracy'], 2)}{right}."
    )


def _graphs(task: Task, graphs: Sequence[Report]) -> list[str]:
    alike, figure = export_task(task).agreement_phrase.removesuffix(" for"), task.figure.title
    right = "right" if task.is_classification else figure
    lines = [
        f"| file | precision | differs by | {alike} | {right} | {figure} lost, points "
        "| loss beside network | ms | KiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for graph in graphs:
        size = f"{graph['bytes'] / 1024:.0f}"
        if graph["difference"] is None:
            lines.append(
                f"| {graph['file']} | {graph['precision']} | not run here | | | | | | {size} |"
            )
            continue
        change = "not made of it"
        if graph["loss_change"] is not None:
            change = f"{graph['loss_change']:+.4f} ± {graph['loss_half_width']:.4f}"
        lines.append(
            f"| {graph['file']} | {graph['precision']} | {graph['difference']:.1e} | "
            f"{graph['agreement']:.1%} | {graph['accuracy']:.1%} | {_drop(graph)} | {change} | "
            f"{graph['latency_ms']:.3f} ± {graph['latency_spread']:.0%} | {size} |"
        )
    return lines


def _drop(graph: Report) -> str:
    low, high = graph["accuracy_drop_interval"]
    return f"{100 * graph['accuracy_drop']:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _protocol(task: Task, report: Report) -> str:
    """Say how the figures of the graphs came about."""
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    gpu = (
        f" and {report['gpu']}, whose graphs are timed by its own clock" if "gpu" in report else ""
    )
    return (
        f"{report['machine']}{gpu}, {report['made']}, one image, one thread; {versions}. "
        "`differs by`: the largest difference of any score from that of the network as it "
        "was trained, as a share of the largest score. "
        f"`{task.figure.title} lost`: of the network's, with its "
        f"95 % interval, paired by {export_task(task).paired_by}."
    )


def _calibrated(report: Report) -> list[str]:
    if not report["calibration_images"]:
        return [f"int8: {report['int8']}."] if report["int8"] else []
    lines = [f"int8: ranges seen on {report['calibration_images']} training images."]
    return [*lines, f"{report['int8']}."] if report["int8"] else lines


def _delegates(graphs: Sequence[Report]) -> list[str]:
    lines = []
    for graph in graphs:
        for part in graph["delegates"]:
            outside = ", ".join(f"{name} x{times}" for name, times in part["outside"].items())
            lines.append(
                f"- {graph['file']}, {part['accelerator']}: takes {part['inside']} operators, "
                f"leaves {outside or 'none'} ({part['note']})."
            )
    return ["", "## What accelerators take", "", *lines] if lines else []


def _use(target: Target, task: ExportTask, winner: Winner) -> list[str]:
    return [
        f"    python verify.py            # needs {', '.join(('numpy', *target.runs))}",
        "    python verify.py --model    # model.py too: needs torch and safetensors",
        "",
        "In: float32 (N, 3, H, W) as preprocessing.json says"
        + ("" if target.any_batch else ", one image at a time")
        + f". Out: {winner.describe_output()}. `load_"
        + f"{target.name}` in verify.py shows how the graph is opened."
        + _timm(target, winner.architecture.backbone)
        + (f" {target.note}" if target.note else ""),
        "",
        "    from model import load      # plain torch: to finetune, or convert otherwise",
        '    network = load("weights.safetensors")',
        *task.usage(),
    ]


def _timm(target: Target, backbone: str) -> str:
    if target.name != "timm":
        return ""
    return (
        '\n\n    import sys, timm; sys.path.insert(0, "network"); import winner\n'
        '    network = timm.create_model("local-dir:network", pretrained=True).eval()\n\n'
        + (
            "A whole model of timm: it takes num_classes, in_chans and features_only, and has "
            "forward_features and reset_classifier."
            if timm_networks.exists(backbone)
            else f"timm has no {brief(backbone)}: it is the graph as it was trained, and other "
            "options are refused."
        )
    )


def _architecture(winner: Winner, network: Report) -> list[str]:
    architecture = winner.architecture
    rows = [f"| `{insertion.site}` | {insertion.label} |" for insertion in architecture.insertions]
    stride = str(architecture.total_stride or "as it comes")
    if architecture.output_stride is not None:
        stride += f", output stride {architecture.output_stride}"
    if architecture.share is not None:
        stride += f", equal blocks of a {architecture.share} with the same weights"
    return [
        f"{brief(architecture.backbone)}, total stride {stride}: {network['params']:,} parameters, "
        f"{network['macs']:,} multiply-adds for an image.",
        *([describe_uncounted(network["uncounted"])] if network["uncounted"] else []),
        "",
        *(["| site | block |", "| --- | --- |", *rows] if rows else ["As it comes."]),
    ]
