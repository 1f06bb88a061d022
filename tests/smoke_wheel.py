"""Build the wheel and use it from an empty folder: run by `make check`.

The wheel is unpacked rather than installed, so that the gigabytes it depends on are taken
from the environment at hand; nothing of the checkout may be importable or needed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

USE = """
import sys
sys.path.insert(0, {wheel!r})
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
import nas
assert nas.__file__.startswith({wheel!r}), nas.__file__
for content in ("results", "runners", "search_spaces", "tests", "benchmarks"):
    try:
        __import__(content)
    except ImportError:
        continue
    raise SystemExit(f"{{content}} can be imported, although it is content and not code")
assert nas.load_space("mobilenetv2-small").name == "mobilenetv2-small"
assert nas.load_runner("local") and nas.__version__ in {name!r}
arch = nas.uniform("mobilenetv2_100", "coord", reduction=32, exclude=["blocks.0.*"])
print(nas.cost(arch))
from nas.report.document import asset, script_of, templates
assert script_of("page") and asset("report.css") and templates().get_template("page.html")
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        built, unpacked, empty = (Path(folder) / name for name in ("dist", "wheel", "empty"))
        empty.mkdir()
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
        subprocess.run(
            [*command, "--outdir", str(built), str(ROOT)], check=True, stdout=subprocess.DEVNULL
        )
        (wheel,) = built.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            archive.extractall(unpacked)
        tops = {name.split("/")[0] for name in names}
        info = {top for top in tops if top.endswith(".dist-info")}
        assert tops - info == {"nas"}, f"the wheel holds {sorted(tops)}; nas alone belongs there"
        assert "nas/py.typed" in names, "py.typed is missing"
        code = USE.format(wheel=str(unpacked), name=wheel.name)
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=empty, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "params=3950648" in done.stdout, done.stdout
        # A folder `nas` beside the checkout's would hide it.
        subprocess.run(
            [sys.executable, "-c", f"import hatchling.build as b; b.build_editable({folder!r})"],
            cwd=ROOT,
            check=True,
        )
        (editable,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(editable) as archive:
            assert not [name for name in archive.namelist() if name.startswith("nas/")]
        # uv asks hatchling what an editable install needs only where pyproject.toml leaves
        # something open; else it lacks the package that hatchling adds, and does not start.
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert "version" in project["dynamic"]
        print(f"{wheel.name}: works from an empty folder")


if __name__ == "__main__":
    main()
