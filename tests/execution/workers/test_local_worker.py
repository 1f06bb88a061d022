"""The protocol of local workers, spoken with programs that evaluate nothing."""

from __future__ import annotations

import json
import subprocess
import sys

from nas.study.record import Job

PROGRAM = """
import threading
from contextlib import nullcontext
from nas.base.errors import StorageError
from nas.execution.workers.local_worker import serve
from nas.study.record import Outcome

both = threading.Barrier(2)

def evaluate(job):
    if job.trial == 7:
        raise StorageError("the disk is full")
    if job.trial == 8:
        raise ZeroDivisionError("a fault of ours")
    both.wait(600)
    return Outcome(failure=f"{job.trial} beside another")

serve(lambda spec, worker, at_a_time: nullcontext([evaluate] * at_a_time))
"""


def spoken(*trials: int, at_a_time: int = 2) -> tuple[int, list[dict[str, object]], str]:
    """How a worker ended, what it said, and what it complained of."""
    orders = [
        {"ticket": 10 + trial, "job": Job(trial, "{}", str(trial), seed=0).to_dict()}
        for trial in trials
    ]
    start = {"spec": {}, "worker": 0, "at_a_time": at_a_time}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        child.stdin.write("".join(json.dumps(line) + "\n" for line in (start, *orders)))
        child.stdin.flush()
        said = [json.loads(child.stdout.readline())]
        for _ in trials:
            if line := child.stdout.readline():
                said.append(json.loads(line))
        child.stdin.close()
        return child.wait(600), said, child.stderr.read()


def test_jobs_at_a_time_are_beside_each_other_and_answered_by_their_tickets() -> None:
    code, (ready, *answers), _ = spoken(1, 2)
    assert code == 0 and ready == {"ready": True}
    outcomes = {answer["ticket"]: answer["outcome"]["failure"] for answer in answers}  # type: ignore[index]
    assert outcomes == {11: "1 beside another", 12: "2 beside another"}


def test_what_would_befall_every_job_ends_it_in_one_line() -> None:
    for at_a_time in (1, 2):
        _, said, _ = spoken(7, at_a_time=at_a_time)
        assert said[1:] == [{"broken": "the disk is full"}]


def test_a_fault_in_one_thread_ends_the_process_so_that_its_job_is_given_again() -> None:
    code, said, complaint = spoken(8)
    assert code == 1 and len(said) == 1 and "a fault of ours" in complaint
