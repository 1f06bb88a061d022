"""A SLURM cluster of two machines on this one, made with Debian's packages: each in namespaces of
its own, so that it has its own address, host name, processes and Ray.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from benchmarks.shared.processes import children

__all__ = ["SlurmCluster"]

_PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "scontrol", "ip", "nsenter", "unshare")
_NET = "10.77.0"
_NODES = {"nasnode1": 11, "nasnode2": 12}
_HOSTS = "\n".join(
    ["127.0.0.1 localhost", f"{_NET}.1 nasctl"]
    + [f"{_NET}.{last} {name}" for name, last in _NODES.items()]
)
_CONFIG = """\
ClusterName=nas
SlurmctldHost=nasctl({net}.1)
SlurmUser=root
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=15
SchedulerParameters=bf_interval=2,sched_interval=2
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class SlurmCluster:
    """Made on entering, gone on leaving; one at a time on a machine. `shared`: a folder that all
    of its machines see.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nas-slurm-"))
        self.shared = self.folder / "shared"
        self._running: list[subprocess.Popen[bytes]] = []

    @classmethod
    def missing(cls) -> str | None:
        """Why there can be none here; None when there can."""
        if os.geteuid() != 0:
            return "only root can make namespaces for the machines of a SLURM cluster"
        if any(shutil.which(name) is None for name in _PROGRAMS):
            return "no SLURM: apt-get install slurm-wlm munge iproute2"
        made = subprocess.run(["ip", "netns", "add", "nas-probe"], capture_output=True)
        subprocess.run(["ip", "netns", "delete", "nas-probe"], capture_output=True)
        return None if made.returncode == 0 else "no network namespaces can be made here"

    def __enter__(self) -> Self:
        try:
            self.folder.chmod(0o755)
            self.shared.mkdir()
            (self.folder / "state").mkdir()
            (self.folder / "hosts").write_text(_HOSTS + "\n")
            nodes = "\n".join(
                f"NodeName={name} NodeAddr={_NET}.{last} CPUs=2 RealMemory=1000"
                for name, last in _NODES.items()
            )
            config = _CONFIG.format(net=_NET, folder=self.folder, nodes=nodes)
            (self.folder / "slurm.conf").write_text(config)
            self._network()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._running):
            for first in children(process.pid):  # of a namespace, whose others end with it
                os.kill(first, signal.SIGKILL)
            process.kill()
            process.wait()
        for name in _NODES:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)
        subprocess.run(["ip", "link", "delete", "nasbridge"], capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    # What a user does.

    @property
    def environment(self) -> dict[str, str]:
        """Of whoever submits: `nas` and `ray` are found, as in an environment that is activated."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def submit(self, *command: str) -> str:
        """Carry out an sbatch command; returns the job's number."""
        return self._call(*command).split()[-1]

    def requeue(self, job: str) -> None:
        """Take a job off its machines, as for another that comes first."""
        self._call("scontrol", "requeue", job)
        while self.state(job) != "PENDING":
            time.sleep(0.5)
        self._call("scontrol", "update", f"JobId={job}", "StartTime=now")  # SLURM waits 2 minutes

    def state(self, job: str) -> str:
        """RUNNING, COMPLETED, ..."""
        words = self._call("scontrol", "-o", "show", "job", job).split()
        return next(word for word in words if word.startswith("JobState=")).partition("=")[2]

    def log(self, name: str) -> str:
        """What a job has printed so far."""
        path = self.shared / name
        return path.read_text(errors="replace") if path.exists() else ""

    def _call(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.environment, cwd=self.shared, capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    # Its machines.

    def _network(self) -> None:
        def ip(*words: str) -> None:
            subprocess.run(["ip", *words], check=True)

        ip("link", "add", "nasbridge", "type", "bridge")
        ip("address", "add", f"{_NET}.1/24", "dev", "nasbridge")
        ip("link", "set", "nasbridge", "up")
        for name, last in _NODES.items():
            ip("netns", "add", name)
            ip("link", "add", f"nas{last}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"nas{last}", "master", "nasbridge", "up")
            ip("-n", name, "address", "add", f"{_NET}.{last}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")

    def _start(self) -> None:
        key = self.folder / "munge.key"
        key.touch(mode=0o400)
        key.write_bytes(secrets.token_bytes(1024))
        files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid"}
        files |= {"log-file": "munged.log", "seed-file": "munge.seed"}
        options = [f"--{option}={self.folder / name}" for option, name in files.items()]
        self._popen("munge", "munged", "--foreground", "--force", *options)
        self._machine("nasctl", "exec slurmctld -D -c")
        for name in _NODES:
            # Ray's sockets and sessions are a machine's own.
            ray = "mkdir -p /tmp/ray && mount -t tmpfs tmpfs /tmp/ray"
            network = ["nsenter", f"--net=/run/netns/{name}"]
            self._machine(name, f"{ray} && exec slurmd -D -N {name}", network)
        end = time.monotonic() + 60
        while self._call("sinfo", "--noheader", "--format=%D %t").strip() != f"{len(_NODES)} idle":
            logs = "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))
            assert time.monotonic() < end, logs[-3000:]
            time.sleep(0.5)

    def _machine(self, name: str, command: str, network: Sequence[str] = ()) -> None:
        apart = ("unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc")
        named = f"mount --bind {self.folder / 'hosts'} /etc/hosts && hostname {name}"
        self._popen(name, *network, *apart, "sh", "-c", f"{named} && {command}")

    def _popen(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running.append(
                subprocess.Popen(
                    command, env=self.environment, stdout=log, stderr=log, process_group=0
                )
            )
