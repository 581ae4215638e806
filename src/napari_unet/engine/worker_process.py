"""Worker process: started, watched and ended from the outside."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import tempfile
import threading
from typing import IO, TYPE_CHECKING, Any

from napari_unet.errors import WorkerError

if TYPE_CHECKING:
    from distributed.security import Security

logger = logging.getLogger(__name__)

MODULE = "napari_unet.engine.worker_host"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0
RESTART = "Try again: a new one is started."

_FIELDS = (
    "tls_ca_file",
    "tls_scheduler_cert",
    "tls_scheduler_key",
    "tls_worker_cert",
    "tls_worker_key",
)


class WorkerProcess:
    """A scheduler with one worker in a process of its own, reachable from here alone.

    Parameters
    ----------
    security
        Temporary credentials; they never touch the disk.

    Raises
    ------
    WorkerError
        If it does not start within a minute.
    """

    def __init__(self, security: Security) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        # It must not get the Ctrl-C of our terminal; it ends when its input does.
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NO_WINDOW}
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            **apart,
        )
        credentials = {name: getattr(security, name) for name in _FIELDS}
        self._write(json.dumps(credentials).encode() + b"\n")
        self.address = self._read_address()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def wait(self, timeout: float) -> None:
        """Wait for the process to end, at most so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)

    def why_ended(self) -> WorkerError:
        """Return what to tell when the process has ended by itself."""
        code = self._process.poll()
        logger.debug("worker ended with %s: %s", code, self._last_words())
        if code is not None and code < 0:
            problem = f"The worker process was ended by signal {-code}."
        else:
            problem = f"The worker process ended (exit code {code})."
        return WorkerError(problem, RESTART)

    def stop(self) -> None:
        """End the process, and with it all memory that it held on any device."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def _write(self, line: bytes) -> None:
        stdin = self._process.stdin
        try:
            if stdin is not None:
                stdin.write(line)
                stdin.flush()
        except OSError:
            raise self._not_started() from None

    def _read_address(self) -> str:
        """Return the scheduler's address, which the process writes when it serves."""
        stdout = self._process.stdout
        limit = threading.Timer(START_TIMEOUT, self._process.kill)
        limit.start()
        try:
            line = stdout.readline() if stdout is not None else b""
        finally:
            limit.cancel()
        if not line:
            raise self._not_started()
        return str(json.loads(line)["address"])

    def _not_started(self) -> WorkerError:
        self._process.kill()
        self._process.wait()
        last = self._last_words()
        self.stop()
        return WorkerError(
            f"The worker process could not be started: {last or 'it said nothing'}.",
            f"Run `{sys.executable} -m {MODULE}` in a shell to see why.",
        )

    def _last_words(self) -> str:
        """Return the last line that the process wrote to its standard error."""
        if self._log.closed:
            return ""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip().rstrip(".") if lines else ""
