"""Core ML, converted anywhere and run on macOS alone: nothing here is checked off it."""

# The package is optional, and has no types.
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from pathlib import Path

from nas.export.plain_torch import export_program
from nas.export.target.target import Target, WrittenGraph
from nas.export.winner import Winner

__all__ = ["COREML"]


def _write(winner: Winner) -> WrittenGraph:
    import coremltools

    program = export_program(winner.shipped, winner.size, dynamic=False).run_decompositions({})
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        path = Path(folder, "network.mlpackage")
        # 16 bits, Core ML's default: the Neural Engine has no others.
        model = coremltools.convert(program, minimum_deployment_target=coremltools.target.iOS16)
        model.author, model.short_description = "attention-nas", str(winner.architecture)
        model.save(str(path))
        kept = [file for file in path.rglob("*") if file.is_file() and "debug" not in file.name]
        return WrittenGraph(
            {f".mlpackage/{file.relative_to(path)}": file.read_bytes() for file in kept}
        )


COREML = Target(
    name="coreml",
    title="Core ML",
    runs=("coremltools",),
    writes=(),
    install='pip install "attention-nas[coreml]"',
    write=_write,
    main=".mlpackage/Manifest.json",
    tolerance=2e-2,
    runs_here=False,
    no_int8="what it does to scores could only be measured on macOS",
)
