"""A Slurm of two nodes on one machine, of the programs that Debian packages: munged, slurmctld and a slurmd for each node.

Everything lies in one folder, listens on free ports, runs as whoever runs the tests (root is not needed) and ends with them.
Each node has two CPUs and two GPUs, which are /dev/null and /dev/zero: Slurm counts and hands out GPUs by the names of their
devices, and never opens them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "sinfo", "squeue")
PACKAGES = "apt-get install munge slurmctld slurmd slurm-client"
NODES = ("n1", "n2")
PATIENCE = 120.0
"""Seconds: generous, since cores may be shared."""

SLURM_CONF = """\
ClusterName=two-nodes
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/spool-%n
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
FirstJobId={first}
SchedulerParameters=sched_interval=2,bf_interval=2
KillWait=30
ReturnToService=2
MailProg=/bin/true
GresTypes=gpu
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=2000 Gres=gpu:2
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=2000 Gres=gpu:2
PartitionName=main Nodes=n1,n2 Default=YES State=UP
"""
GRES_CONF = """\
AutoDetect=off
NodeName=n[1-2] Name=gpu Flags=nvidia_gpu_env File=/dev/null
NodeName=n[1-2] Name=gpu Flags=nvidia_gpu_env File=/dev/zero
"""


def missing() -> list[str]:
    """Return the programs that are not there."""
    return [name for name in PROGRAMS if program(name) is None]


def program(name: str) -> str | None:
    """Return where a program is; those of administrators are in no user's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


@dataclass
class Slurm:
    """Two nodes, and who looks after them; a context manager."""

    folder: Path
    """Short, since sockets lie in it."""
    _daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Slurm:
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir()
        user = pwd.getpwuid(os.getuid()).pw_name
        first = 1000 + os.getpid() % 1_000_000  # what goes by the number of a job is not that of another Slurm here
        conf = SLURM_CONF.format(folder=self.folder, user=user, ports=_free_ports(3), first=first)
        (self.folder / "slurm.conf").write_text(conf, encoding="utf-8")
        (self.folder / "gres.conf").write_text(GRES_CONF, encoding="utf-8")
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        try:
            mine = (f"--{what}={self.folder}/munged.{what[:4]}" for what in ("pid-file", "seed-file", "log-file"))
            self._begin(
                "munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", f"--key-file={key}", *mine
            )
            self.wait((self.folder / "munge.socket").exists, "munged listens")
            self._begin("slurmctld", "-D", "-c")
            for node in NODES:
                self._begin("slurmd", "-D", "-N", node)
            self.wait(
                lambda: self.ask("sinfo", "-h", "-t", "idle", "-o", "%D", fails=True).strip() == "2",
                "both nodes are idle",
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if jobs := self.ask(
            "squeue", "-h", "-o", "%i", fails=True
        ).split():  # who ends the daemons alone leaves the jobs
            self.ask("scancel", *jobs, fails=True)
            end = time.monotonic() + PATIENCE
            while self.ask("squeue", "-h", fails=True) and time.monotonic() < end:
                time.sleep(0.5)
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in reversed(self._daemons):
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def ask(self, name: str, *arguments: str, cwd: Path | None = None, fails: bool = False) -> str:
        """Return what a program of Slurm answers; ``fails`` says that it may fail, and then answers nothing."""
        done = subprocess.run(
            [str(program(name)), *arguments],
            cwd=cwd,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert fails or done.returncode == 0, f"{name} {arguments}: {done.stderr}\n{self.logs()}"
        return done.stdout if done.returncode == 0 else ""

    def submit(self, file: str, cwd: Path) -> str:
        """Submit a file from a folder and return the number of the job."""
        return self.ask("sbatch", "--parsable", file, cwd=cwd).strip()

    def shown(self, job: str) -> dict[str, str]:
        """Return what the controller says of a job: JobState, ExitCode, Restarts, …"""
        words = self.ask("scontrol", "-o", "show", "job", job).split()
        return dict(word.partition("=")[::2] for word in words if "=" in word)

    def ended(self, job: str, folder: Path, patience: float = PATIENCE) -> dict[str, str]:
        """Wait until a job has ended, and return what is then said of it."""
        over = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}
        self.wait(lambda: self.shown(job)["JobState"] in over, f"job {job} has ended", patience, folder)
        return self.shown(job)

    def wait(self, so: Callable[[], bool], what: str, patience: float = PATIENCE, folder: Path | None = None) -> None:
        """Wait until it is so."""
        end = time.monotonic() + patience
        while not so():
            said = "".join(
                path.read_text(errors="replace") for path in sorted((folder or self.folder).glob("slurm-*.out"))
            )
            assert time.monotonic() < end, f"in {patience:.0f} s it is not so that {what}\n{said}\n{self.logs()}"
            time.sleep(0.2)

    def logs(self) -> str:
        """Return the ends of what the daemons have logged."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}"
            for path in sorted(self.folder.glob("*.log*"))
        )

    def environment(self) -> dict[str, str]:
        """Return the environment that finds this Slurm, without what another one, around the tests, may have set."""
        others = ("SLURM_", "SBATCH_", "SRUN_", "SPRACHBUND_", "RAY_")
        mine = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        return mine | {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def _begin(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}-{len(self._daemons)}.said.log").open("wb") as said:
            self._daemons.append(
                subprocess.Popen(
                    [str(program(name)), *arguments],
                    env=self.environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                )
            )


def _free_ports(count: int) -> Sequence[int]:
    """Return ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
