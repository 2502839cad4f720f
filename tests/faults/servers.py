"""A PostgreSQL server of its own on loopback, from Debian's binaries, run by a user without rights."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path


def binaries():
    """Newest folder with the programs of the server, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Postgres:
    def __init__(self):
        self.bin, self.port, self.password = binaries(), free_port(), secrets.token_hex(8)
        self.root = Path(tempfile.mkdtemp(prefix="dse-postgres-"))
        self.user = None
        if os.geteuid() == 0:
            self.user = "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"
            shutil.chown(self.root, self.user)
        word = self.root / "password"
        word.write_text(self.password)
        if self.user:
            shutil.chown(word, self.user)
        self._run("initdb", "-D", self.root / "data", "-U", "dse", "-A", "scram-sha-256", "--pwfile", word, "-N")
        self.start()

    @property
    def url(self):
        return f"postgresql://dse:{self.password}@127.0.0.1:{self.port}/postgres"

    def start(self):
        how = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "-D", self.root / "data", "-o", how, "-l", self.root / "log", "-w", "start")

    def stop(self, mode="fast"):
        self._run("pg_ctl", "-D", self.root / "data", "-m", mode, "-w", "stop")

    def restart_after(self, seconds):
        self.stop("immediate")
        time.sleep(seconds)
        self.start()

    def close(self):
        self.stop("immediate")
        shutil.rmtree(self.root, ignore_errors=True)

    def _run(self, name, *arguments):
        subprocess.run(
            [self.bin / name, *arguments],
            check=True, cwd=self.root, user=self.user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
