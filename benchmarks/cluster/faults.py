"""What happens to a search: its processes, nodes and database are killed and frozen."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from benchmarks.cluster.chaos_processes import DATABASE_FAULTS, EXECUTORS, LEASE, PROGRAM, TRIAL_END
from benchmarks.shared.processes import children

if TYPE_CHECKING:
    from benchmarks.shared.ray_nodes import Nodes
    from nas.execution.exchange import Exchange
    from nas.runs.run import Run

FOREVER = float("inf")


class Chaos:
    """A search in a folder, its processes, and what is done to them."""

    def __init__(
        self,
        run: Run,
        executor: str,
        *,
        workers: int,
        seed: int,
        database: Any | None,
        nodes: Nodes | None,
    ) -> None:
        self.folder = run.path
        self.run_folder = run
        self.exchange: Exchange | None = None
        self.kind = EXECUTORS[executor]
        self.database = database
        self.nodes = nodes
        self.chance = random.Random(seed)
        self.wanted = workers
        self.happened: Counter[str] = Counter()
        self.drivers: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self.thaws: list[tuple[float, list[int]]] = []
        self.refused = self.started = 0

    def run(self, faults: int, trials: int, *, limit: float) -> None:
        """Until the search is finished. faults: spread at random over its trials."""
        weights = self.kind.faults | (DATABASE_FAULTS if self.database else {})
        end = time.monotonic() + limit
        due = sorted(self.chance.randrange(3, int(0.95 * trials)) for _ in range(faults))
        while not self._finished():
            assert time.monotonic() < end, f"not finished; see {self.folder}"
            self._keep_up()
            if due and self._ended() >= due[0] and self._searching():
                (name,) = self.chance.choices(list(weights), list(weights.values()))
                if self._do(name):
                    self._note(name)
                    due.pop(0)
                time.sleep(self.chance.uniform(0.05, 0.5))
            time.sleep(0.05)
        self._thaw(FOREVER)

    def _note(self, name: str) -> None:
        self.happened[name] += 1
        with (self.folder / "faults.log").open("a") as file:
            file.write(f"{time.strftime('%H:%M:%S')} after {self._ended()} trials: {name}\n")

    def _ended(self) -> int:
        """Trials that the driver has told the end of."""
        try:
            text = (self.folder / "events.log").read_text()
        except OSError:
            return 0
        return len(TRIAL_END.findall(text))

    def stop(self) -> None:
        self._thaw(FOREVER)
        for process in (*self.workers, *self.drivers):
            if process.poll() is None:
                process.kill()
            process.wait()

    def _finished(self) -> bool:
        return any(process.poll() == 0 for process in self.drivers)

    def _searching(self) -> bool:
        """The driver is up, and has heard of trials: faults hit a search and not its start."""
        try:
            lines = (self.folder / "events.log").read_bytes().count(b"\n")
        except OSError:
            return False
        if lines > self.started:
            return True
        return False

    def _keep_up(self) -> None:
        self._thaw(time.monotonic())
        if self.nodes and not self.thaws:
            self.nodes.mend()
        for process in list(self.drivers):
            if process.poll() not in {None, 0}:
                self.drivers.remove(process)
        if not self.drivers:
            self.drivers.append(self._start("drive", "driver.log"))
            with contextlib.suppress(OSError):
                self.started = (self.folder / "events.log").read_bytes().count(b"\n")
        if not self.kind.own_workers:
            self.workers = [process for process in self.workers if process.poll() is None]
            while len(self.workers) < self.wanted:
                self.workers.append(self._start("work", "workers.log"))

    def _start(self, role: str, log: str) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as file:
            return subprocess.Popen(
                [*PROGRAM, role, str(self.folder)],
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
                env=os.environ | (self.nodes.environment if self.nodes else {}),
                process_group=0,
            )

    def _do(self, name: str) -> bool:
        driver = self.drivers[-1].pid
        worker = self._victim()
        if name == "kill database":
            self._restart_database()
        elif name == "freeze database":
            self._freeze_database()
        elif name == "second driver":
            return self._second_driver()
        elif "node" in name or "head" in name:
            return self._hit_cluster(name)
        elif "driver" in name:
            hit = self._hit(driver, name)
            if hit and name.startswith("kill"):
                self.drivers[-1].wait()  # or a second one would be taken for refused, and drive
            return hit
        elif worker is not None:
            return self._hit(worker, name)
        else:
            return False
        return True

    def _victim(self) -> int | None:
        """One that is at work, rather than one that is still starting."""
        if self.nodes:
            found = self.nodes.workers()
        elif self.kind.own_workers:
            found = children(self.drivers[-1].pid)
        else:
            found = [process.pid for process in self.workers if process.poll() is None]
            found = [item for item in self._busy() if item in found] or found
        frozen = {process for _, group in self.thaws for process in group}
        found = [process for process in found if process not in frozen]
        return self.chance.choice(found) if found else None

    def _hit_cluster(self, name: str) -> bool:
        if self.nodes is None or self.thaws:
            return False
        if name == "kill head":
            self.nodes.kill_head()
        elif name == "kill node":
            self.nodes.kill_node(self.chance)
        else:
            until = time.monotonic() + self.chance.uniform(1.5, 2.5) * LEASE
            self.thaws.append((until, self.nodes.freeze_node(self.chance)))
        return True

    def _busy(self) -> list[int]:
        from nas.runs.open_study import exchange_of

        self.exchange = self.exchange or exchange_of(self.run_folder)
        return [item.process["pid"] for item in self.exchange.workers() if item.ticket]

    def _hit(self, process: int, name: str) -> bool:
        if any(process in group for _, group in self.thaws):
            return False
        with contextlib.suppress(ProcessLookupError):
            if name.startswith("freeze"):
                os.kill(process, signal.SIGSTOP)
                beyond = "beyond" in name
                seconds = self.chance.uniform(1.5, 2.5) * LEASE if beyond else LEASE / 4
                self.thaws.append((time.monotonic() + seconds, [process]))
            else:
                term = name.startswith("terminate")
                os.kill(process, signal.SIGTERM if term else signal.SIGKILL)
            return True
        return False

    def _second_driver(self) -> bool:
        """While the first one lives it is refused, and says whom it met."""
        if self.drivers[-1].poll() is not None or self.thaws:
            return False
        command = [*PROGRAM, "drive", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0 and self.drivers[-1].poll() == 0:
            return False  # it came too late to meet anybody
        assert done.returncode == 2, done
        assert f"process {self.drivers[-1].pid} on " in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        self.refused += 1
        return True

    def _restart_database(self) -> None:
        assert self.database is not None
        self.database.stop()
        time.sleep(self.chance.uniform(0.1, 1.5))
        self.database.start()

    def _freeze_database(self) -> None:
        assert self.database is not None
        self.database.freeze()
        time.sleep(self.chance.uniform(0.5, 1.5) * LEASE)
        self.database.thaw()

    def _thaw(self, now: float) -> None:
        for due, group in list(self.thaws):
            if due <= now:
                self.thaws.remove((due, group))
                for process in group:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGCONT)
