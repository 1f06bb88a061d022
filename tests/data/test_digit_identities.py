"""Identities of single digits: equal everywhere, and no digit in two parts."""

from __future__ import annotations

import torch

from nas.data import Reading, load_data, open_test

READING = Reading(annotated="identities")


def test_identities_are_disjoint_and_seen_by_three_cameras() -> None:
    data = load_data("digits", 32, validation=0.5, seed=7, annotated="identities")
    test = open_test("digits", 32, reading=READING)
    assert (len(data.train), len(data.validation), len(test)) == (1200, 600, 600)
    assert len(data.classes) == 100 and not data.mirror
    assert torch.bincount(data.train.labels).tolist() == [12] * 100
    assert data.validation.labels.unique().tolist() == list(range(100, 150))
    for split in (data.validation, test):
        assert split.annotations is not None
        assert split.annotations[:, 0].unique().tolist() == [0, 1, 2]
        assert int(split.annotations[:, 1].sum()) == 150, "one query of each and camera"
    assert int(data.validation.images.sum(dtype=torch.int64)) == PIXELS


PIXELS = 125_334_819


def test_pictures_of_an_identity_differ() -> None:
    data = load_data("digits", 32, validation=0.5, seed=0, annotated="identities")
    pictures = {image.numpy().tobytes() for image in data.train.images[:12]}
    assert len(pictures) == 12
