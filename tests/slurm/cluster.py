"""A Slurm cluster of one node on this machine, with three pretend GPUs: null devices, of which Slurm knows only the number.

    python -m tests.slurm.cluster up|up-with-accounting|down

Needs root and, on Debian and Ubuntu: apt-get install --no-install-recommends slurm-wlm munge slurmdbd mariadb-server.
It has keys, sockets, ports and a database of its own in a temporary folder. Its configuration is linked into /etc/slurm,
since the jobs of Snakemake's plugin find none elsewhere; a Slurm that is configured there already is left alone.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HOME = Path("/tmp/refilm-slurm")
CPUS, MEMORY_MB, GPUS = 8, 64000, 3  # what the node says that it has
_CONFIGURATION = Path("/etc/slurm")
_MUNGE_SOCKET = Path("/run/munge/munge.socket.2")  # clients of slurmdbd look nowhere else
_PROGRAMS = ("slurmctld", "slurmd", "munged", "setpriv")
_OF_ACCOUNTING = ("slurmdbd", "mariadbd", "mariadb-install-db")
_PORT = 26817  # and the four after it
# In the order in which they are stopped.
_PID_FILES = ("slurmd.pid", "slurmctld.pid", "slurmdbd.pid", "mariadb.pid", "munged.pid")


def missing(accounting: bool) -> str | None:
    """Why no cluster can be started here, in one line, or None."""
    programs = [name for name in (*_PROGRAMS, *(_OF_ACCOUNTING if accounting else ())) if not shutil.which(name)]
    if programs:
        packages = "slurm-wlm munge slurmdbd mariadb-server"
        return f"{', '.join(programs)} not found: apt-get install --no-install-recommends {packages}"
    if os.geteuid():
        return "a Slurm cluster can be started by root only: run this in a container as root"
    link = _CONFIGURATION / "slurm.conf"
    if link.exists() and link.resolve().parent != HOME:
        return f"{link} is the configuration of another cluster: run this in a container"
    return None


@contextmanager
def running(accounting: bool) -> Iterator[None]:
    """A cluster that runs while the block does."""
    up(accounting)
    try:
        yield
    finally:
        down()


def up(accounting: bool) -> None:
    down()
    shutil.rmtree(HOME, ignore_errors=True)
    for name in ("state", "spool", "log", "gpus", "database"):
        (HOME / name).mkdir(parents=True)
    for number in range(GPUS):
        os.mknod(HOME / "gpus" / f"nvidia{number}", 0o666 | 0o020000, os.makedev(1, 3))
    _configure(accounting)
    _start_munge()
    if accounting:
        _start_accounting()
    _run("slurmctld")
    _run("slurmd", "-N", _host())
    _wait_until(lambda: "idle" in _output("sinfo", "-h", "-o", "%T"), "the node")


def down() -> None:
    """Stop what `up` started, and take its links away."""
    for name in _PID_FILES:
        _stop(HOME / name)
    for link in (*(_CONFIGURATION / name for name in ("slurm.conf", "gres.conf", "slurmdbd.conf")), _MUNGE_SOCKET):
        if link.is_symlink() and link.readlink().is_relative_to(HOME):
            link.unlink()


def _configure(accounting: bool) -> None:
    settings = [
        "ClusterName=test",
        f"SlurmctldHost={_host()}(127.0.0.1)",
        "SlurmUser=root",
        "SlurmdUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={HOME}/munge.sock",
        f"SlurmctldPort={_PORT}",
        f"SlurmdPort={_PORT + 1}",
        f"StateSaveLocation={HOME}/state",
        f"SlurmdSpoolDir={HOME}/spool",
        f"SlurmctldPidFile={HOME}/slurmctld.pid",
        f"SlurmdPidFile={HOME}/slurmd.pid",
        f"SlurmctldLogFile={HOME}/log/slurmctld.log",
        f"SlurmdLogFile={HOME}/log/slurmd.log",
        "SlurmctldDebug=verbose",
        "SlurmdDebug=verbose",
        # No control groups, which containers do not have.
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "MpiDefault=none",
        "SwitchType=switch/none",
        "SchedulerType=sched/backfill",
        "SchedulerParameters=batch_sched_delay=1,sched_interval=5,bf_interval=5",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_CPU_Memory",
        "ReturnToService=2",
        "SlurmdParameters=config_overrides",  # the node has fewer CPUs than it says
        "SlurmdTimeout=60",
        "KillWait=5",
        "MinJobAge=300",
        "JobRequeue=1",
        "EnforcePartLimits=NO",
        "GresTypes=gpu",
        f"NodeName={_host()} NodeAddr=127.0.0.1 CPUs={CPUS} RealMemory={MEMORY_MB} Gres=gpu:{GPUS} State=UNKNOWN",
        f"PartitionName=compute Nodes={_host()} Default=YES MaxTime=3-00:00:00 State=UP",
        f"PartitionName=gpus Nodes={_host()} MaxTime=1-00:00:00 State=UP",
    ]
    database = [
        "AccountingStorageType=accounting_storage/slurmdbd",
        "AccountingStorageHost=127.0.0.1",
        f"AccountingStoragePort={_PORT + 2}",
        "AccountingStorageTRES=gres/gpu",
        "AccountingStorageEnforce=associations",
        "JobAcctGatherType=jobacct_gather/linux",
    ]
    none = ["AccountingStorageType=accounting_storage/none", "JobAcctGatherType=jobacct_gather/none"]
    _write("slurm.conf", [*settings, *(database if accounting else none)])
    _write("gres.conf", [f"NodeName={_host()} Name=gpu File={HOME}/gpus/nvidia[0-{GPUS - 1}]"])


def _start_munge() -> None:
    key = HOME / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    _run(
        "munged", "--force", f"--key-file={key}", f"--socket={HOME}/munge.sock", f"--pid-file={HOME}/munged.pid",
        f"--log-file={HOME}/log/munged.log", f"--seed-file={HOME}/munged.seed",
    )  # fmt: skip
    _MUNGE_SOCKET.parent.mkdir(parents=True, exist_ok=True)
    _MUNGE_SOCKET.parent.chmod(0o755)
    _MUNGE_SOCKET.unlink(missing_ok=True)
    _MUNGE_SOCKET.symlink_to(HOME / "munge.sock")


def _start_accounting() -> None:
    """MariaDB and slurmdbd, with an account `film` to which the user of this process belongs."""
    folder, client = HOME / "database", ("mariadb", "--no-defaults", "-uroot", "-S", str(HOME / "database" / "socket"))
    shutil.chown(folder, "mysql")
    _run(
        "mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={folder}", "--skip-test-db",
        "--auth-root-authentication-method=normal",
    )  # fmt: skip
    with open(HOME / "log" / "mariadb.log", "w") as log:
        subprocess.Popen(
            ["setpriv", "--reuid=mysql", "--regid=mysql", "--clear-groups", "mariadbd", "--no-defaults",
             f"--datadir={folder}", f"--socket={folder}/socket", f"--port={_PORT + 3}", "--bind-address=127.0.0.1",
             f"--pid-file={folder}/pid", "--innodb-buffer-pool-size=64M"],
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    _wait_until(lambda: _output(*client, "-e", "select 1"), "MariaDB")
    (HOME / "mariadb.pid").write_text((folder / "pid").read_text())
    for host in ("127.0.0.1", "localhost"):
        _run(*client, "-e", f"create user 'slurm'@'{host}' identified by 'slurm'; grant all on slurm.* to 'slurm'@'{host}'")
    _run(*client, "-e", "create database slurm")
    settings = [
        "AuthType=auth/munge", f"AuthInfo=socket={HOME}/munge.sock", f"DbdHost={_host()}", "DbdAddr=127.0.0.1",
        f"DbdPort={_PORT + 2}", "SlurmUser=root", f"LogFile={HOME}/log/slurmdbd.log", f"PidFile={HOME}/slurmdbd.pid",
        "StorageType=accounting_storage/mysql", "StorageHost=127.0.0.1", f"StoragePort={_PORT + 3}", "StorageUser=slurm",
        "StoragePass=slurm", "StorageLoc=slurm",
    ]  # fmt: skip
    _write("slurmdbd.conf", settings, 0o600)
    _run("slurmdbd")
    # Without its cluster in the database slurmctld does not start.
    _wait_until(lambda: "test" in _output("sacctmgr", "-i", "-n", "add", "cluster", "test"), "slurmdbd")
    _run("sacctmgr", "-i", "add", "account", "film", "Description=film", "Organization=film")
    _run("sacctmgr", "-i", "add", "user", getpass.getuser(), "account=film")


def _write(name: str, settings: list[str], mode: int = 0o644) -> None:
    file, link = HOME / name, _CONFIGURATION / name
    file.write_text("\n".join(settings) + "\n")
    file.chmod(mode)
    _CONFIGURATION.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(file)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(f"{command[0]} failed: {(done.stderr or done.stdout).strip()}; its log is in {HOME}/log")


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def _wait_until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"{what} did not start within {seconds:.0f} s: see {HOME}/log")
        time.sleep(0.2)


def _stop(file: Path) -> None:
    if not file.exists():
        return
    number = int(file.read_text())
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if _runs(number):
            os.kill(number, sign)
        end = time.monotonic() + 10
        while _runs(number) and time.monotonic() < end:
            time.sleep(0.1)
    file.unlink(missing_ok=True)


def _runs(number: int) -> bool:
    """Whether a process is there, and not only waiting to be buried."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _host() -> str:
    return socket.gethostname().partition(".")[0]


if __name__ == "__main__":
    what = sys.argv[1:]
    if what == ["down"]:
        down()
    elif what in (["up"], ["up-with-accounting"]):
        reason = missing(what != ["up"])
        if reason:
            sys.exit(reason)
        up(what != ["up"])
    else:
        sys.exit("usage: python -m tests.slurm.cluster up|up-with-accounting|down")
