"""What a training takes on this machine."""

import pytest

from nas.runs.training_speed import seconds_per_image
from nas.spec.architecture import Architecture
from nas.spec.task import Task


@pytest.mark.parametrize("task", [Task.of("classification", 10), Task.of("segmentation", 3)])
def test_a_training_of_any_task_is_timed(task: Task) -> None:
    plain = Architecture("mobilenetv2_cifar", 32)
    assert 0 < seconds_per_image(plain, task, batch_size=8, threads=1) < 60
