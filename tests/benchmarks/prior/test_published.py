from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.prior import published
from benchmarks.prior.hierarchy import Model, fit
from benchmarks.prior.rows import Comparison, left_out, read_comparisons
from nas.base.errors import SpecError
from nas.belief.published_prior import PublishedPrior, amount

TABLE = Path(published.__file__).with_name("published.csv")
ROW = {
    "study": "a",
    "dataset": "ImageNet-1k",
    "backbone": "ResNet-50",
    "backbone_class": "resnet-like",
    "block": "SE",
    "ratio": "16.0",
    "sites": "all",
    "position": "end_of_residual_branch",
    "metric": "top1",
    "plain_value": "75.0",
    "gain": "1.0",
    "caveat": "none",
}


def written(folder: Path, *rows: dict[str, str]) -> Path:
    path = folder / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ROW))
        writer.writeheader()
        writer.writerows([ROW | row for row in rows])
    return path


def planted(gains: np.random.Generator, studies: int = 12) -> list[Comparison]:
    """Gains of 1 point everywhere, more in late places, and half of it in half of the sites."""
    rows = []
    for study in range(studies):
        shift = 0.2 * gains.standard_normal()
        for share, depth in [(1.0, 0.5), (0.5, 0.25), (0.5, 0.75), (0.1, 0.0), (0.1, 1.0)]:
            whole = 1 + shift + 0.5 * (2 * depth - 1)
            rows.append(
                Comparison(
                    gain=float(amount(share, 0.5) * whole + 0.1 * gains.standard_normal()),
                    share=share,
                    depth=depth,
                    kind="se",
                    proposed=False,
                    log_ratio=0.0,
                    position="after_depthwise",
                    mobile=True,
                    metric="top1",
                    study=str(study),
                    context=str(study),
                    error=0.25,
                    finetuned=False,
                )
            )
    return rows


def test_the_table_here_is_read_whole() -> None:
    rows, missed = read_comparisons(TABLE), left_out(TABLE)
    assert len(rows) + sum(missed.values()) == 494
    assert len(rows) > 340 and len({row.study for row in rows}) > 30
    assert {row.kind for row in rows} >= {"se", "cbam", "coord", "eca", "gc", "nl", "SK"}
    assert all(0 < row.share <= 1 and 0 <= row.depth <= 1 for row in rows)


def test_what_ships_is_what_the_table_gives(tmp_path: Path) -> None:
    content = published.figures(TABLE)
    assert json.loads(published.PACKAGED.read_text()) == content
    path = tmp_path / "written.json"
    path.write_text(published._written(content))
    assert PublishedPrior.load(path).content == PublishedPrior.load().content


def test_places_are_read_from_words(tmp_path: Path) -> None:
    sites = [
        "c4",
        "c5, one block",
        "c3+c4, 5 blocks",
        "stage:7",
        "stage:last (last 2 of 13 blocks)",
    ]
    found = read_comparisons(written(tmp_path, *({"sites": words} for words in sites)))
    assert [row.share for row in found] == pytest.approx([6 / 16, 1 / 16, 5 / 16, 1 / 7, 2 / 13])
    assert [row.depth for row in found] == pytest.approx([9.5 / 15, 1, 7.5 / 15, 1, 11.5 / 12])


def test_rows_that_say_something_else_are_left_out(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {},
        {"caveat": "swish added with SE"},
        {"sites": "neck"},
        {"block": "SE (tanh gate)"},
        {"block": "Nobody's block"},
        {"study": "1709.01507"},
    )
    rows = read_comparisons(path)
    assert [row.kind for row in rows] == ["se", "Nobody's block", "se"]
    assert [row.proposed for row in rows] == [False, False, True]
    assert sum(left_out(path).values()) == 3


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"gain": "much"}, "line 3: gain 'much' is no finite number"),
        ({"gain": "nan"}, "line 3: gain 'nan'"),
        ({"plain_value": ""}, "line 3: plain_value ''"),
        ({"plain_value": "750"}, "line 3: plain_value 750.0; 0 to 100"),
        ({"ratio": "sixteen"}, "line 3: ratio 'sixteen'"),
        ({"ratio": "0"}, "line 3: ratio '0'"),
        ({"study": ""}, "line 3: no study or no block"),
    ],
)
def test_a_broken_row_is_named(row: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=message):
        read_comparisons(written(tmp_path, {}, row))


def test_a_file_that_is_no_table_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(SpecError, match="column 'study' is missing"):
        read_comparisons(path)
    with pytest.raises(SpecError, match="no row compares"):
        read_comparisons(written(tmp_path, {"sites": "neck"}))
    monkeypatch.setattr(sys, "argv", ["published", "check", str(tmp_path / "nowhere.csv")])
    with pytest.raises(SystemExit) as left:
        published.main()
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("error: cannot read the published table")


def test_planted_terms_are_found_again() -> None:
    rows = planted(np.random.default_rng(0))
    fitted = fit(Model(("uniform", "late"), ("study",), share="saturating"), rows)
    for name, truth in [("uniform", 1.0), ("late", 0.5)]:
        mean, deviation = fitted.weight(name)
        assert abs(mean - truth) < 3 * deviation and deviation < 0.2
    exponent, deviation = fitted.exponents()["share"]
    assert abs(exponent - 0.5) < 3 * deviation < 0.5


def test_a_term_that_is_there_predicts_new_studies_better_than_the_grand_mean() -> None:
    rows = planted(np.random.default_rng(1))
    densities = {
        model: np.mean([score.density for score in published.scores(model, rows)])
        for model in (Model(), Model(("uniform", "late"), ("study",), share="saturating"))
    }
    alone, terms = densities.values()
    assert terms > alone + 0.5


def test_predictions_are_those_of_a_gaussian_worked_by_hand() -> None:
    rows = planted(np.random.default_rng(2), studies=2)
    fitted = fit(Model(spreads=("study",)), rows[:5])
    mean, covariance = fitted.predict(rows[5:6])
    study, noise = fitted.spread("study") ** 2, fitted.scales.noise**2
    own = 9 + study
    known = np.full((5, 5), own) + noise * np.eye(5)
    cross = np.full(5, 9.0)
    solved = np.linalg.solve(known, cross)
    assert mean[0] == pytest.approx(solved @ [row.gain for row in rows[:5]])
    assert covariance[0, 0] == pytest.approx(own + noise - solved @ cross)
