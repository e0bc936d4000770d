"""Where the daemon of this user listens, and who may start or replace it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shlex
import socket
import stat
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import attrs

from am_inseq_daemon.protocol.methods import PROTOCOL_VERSION

MAX_SOCKET_PATH: Final = 103  # macOS: 104 bytes with the closing zero
RUNTIME_VARIABLE: Final = "AM_INSEQ_RUNTIME_DIR"


class EndpointError(Exception):
    """The runtime directory cannot be used; the text says why and what to do."""


@attrs.frozen
class Endpoint:
    """The runtime directory and what lies in it.

    Attributes:
        folder: mode 700, owned by this user.
        socket: where the daemon listens; elsewhere only if the folder's path is too long.
    """

    folder: Path
    socket: Path

    @property
    def record(self) -> Path:
        """JSON about the running daemon."""
        return self.folder / "endpoint.json"

    @property
    def log(self) -> Path:
        """The daemon's own log."""
        return self.folder / "daemon.log"

    @property
    def errors(self) -> Path:
        """What the daemon wrote before its log was open, or when it crashed."""
        return self.folder / "daemon.err"

    @property
    def launch_lock(self) -> Path:
        """Held by the client that starts a daemon."""
        return self.folder / "launch.lock"

    @property
    def life_lock(self) -> Path:
        """Held by the daemon as long as its process exists."""
        return self.folder / "daemon.lock"


def locate(folder: Path | None = None, environment: Mapping[str, str] = os.environ) -> Endpoint:
    """The endpoint in `folder`, or in this user's own runtime directory."""
    chosen = folder or _default_folder(environment)
    chosen = Path(os.path.abspath(chosen.expanduser()))  # noqa: PTH100 - links stay as they are
    path = chosen / f"am-inseq-v{PROTOCOL_VERSION}.sock"
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        digest = hashlib.blake2b(os.fsencode(chosen), digest_size=8).hexdigest()
        short = Path("/tmp") / f"am-inseq-{os.getuid()}"  # noqa: S108 - checked: ours, mode 700
        path = short / f"{digest}-v{PROTOCOL_VERSION}.sock"
    return Endpoint(chosen, path)


def prepare(endpoint: Endpoint) -> None:
    """Makes the runtime directory, for this user alone.

    Raises:
        EndpointError: it cannot be made or written, belongs to somebody else, or is open to others;
            the permissions of a directory that was there before are its owner's to change.
    """
    for folder in {endpoint.folder, endpoint.socket.parent}:
        try:
            _make(folder)
            state = folder.lstat()
            if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid():
                raise EndpointError(_advice(folder, "it is not a directory of your own"))
            if stat.S_IMODE(state.st_mode) & 0o077:
                raise EndpointError(_closing_advice(folder))
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise EndpointError(_advice(folder, error.strerror or str(error))) from None


@contextlib.contextmanager
def lock(path: Path, timeout: float, until: Callable[[], bool] = lambda: False) -> Generator[bool]:
    """Holds the lock file; yields whether it was got before `timeout` or `until` was true."""
    deadline = time.monotonic() + timeout
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not (held := try_lock(descriptor)):
            if until() or time.monotonic() >= deadline:
                break
            time.sleep(0.02)
        yield held
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Whether the lock is now held through `descriptor`."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            return False
        raise
    return True


def is_alive(endpoint: Endpoint) -> bool:
    """Whether a daemon's process exists; true until the very end of its life."""
    try:
        with lock(endpoint.life_lock, timeout=0) as held:
            return not held
    except OSError:
        return False


def accepts(endpoint: Endpoint) -> bool:
    """Whether somebody listens on the socket now."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(endpoint.socket))
        except OSError:
            return False
    return True


def bind(endpoint: Endpoint) -> socket.socket:
    """A listening socket of mode 600; call it only while holding the life lock.

    A socket file that is already there was left by a daemon that was killed.
    """
    endpoint.socket.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(os.fspath(endpoint.socket))
    finally:
        os.umask(mask)
    endpoint.socket.chmod(0o600)
    listener.listen(128)
    return listener


def write_record(endpoint: Endpoint, record: Mapping[str, Any]) -> None:
    """Replaces the endpoint record in one step."""
    draft = endpoint.record.with_suffix(".tmp")
    draft.write_text(json.dumps(dict(record), indent=1) + "\n", encoding="utf-8")
    draft.chmod(0o600)
    draft.replace(endpoint.record)


def read_record(endpoint: Endpoint) -> dict[str, Any] | None:
    """What the last daemon wrote about itself, if it did."""
    try:
        record = json.loads(endpoint.record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return cast("dict[str, Any]", record) if isinstance(record, dict) else None


def socket_identity(endpoint: Endpoint) -> tuple[int, int, int] | None:
    """What tells the socket that lies there from a later one; None where there is none."""
    try:
        state = endpoint.socket.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino, state.st_mtime_ns


def remove_traces(endpoint: Endpoint) -> None:
    """Takes the socket and the record away; call it only while holding the life lock."""
    endpoint.socket.unlink(missing_ok=True)
    endpoint.record.unlink(missing_ok=True)


def is_own_peer(connection: Any) -> bool:
    """Whether the process at the other end runs as this user (True where nobody can tell)."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None or not sys.platform.startswith("linux"):
        return True  # the directory's and the socket's modes already keep others out
    credentials = connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    user = struct.unpack("3i", credentials)[1]
    return user == os.getuid()


def last_lines(path: Path, count: int) -> tuple[str, ...]:
    """The last `count` lines of a text file; none where it cannot be read."""
    if count <= 0:
        return ()
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 2**20))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple(text.splitlines()[-count:])


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        return
    folder.chmod(0o700)


def _default_folder(environment: Mapping[str, str]) -> Path:
    if chosen := environment.get(RUNTIME_VARIABLE):
        return Path(chosen)
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "am-inseq"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/am-inseq/run")
    return Path(environment.get("XDG_CACHE_HOME") or "~/.cache") / "am-inseq" / "run"


def _closing_advice(folder: Path) -> str:
    return (
        f"the runtime directory {folder} is open to other users; close it with "
        f"`chmod 700 {shlex.quote(str(folder))}`, or set {RUNTIME_VARIABLE} to another directory"
    )


def _advice(folder: Path, reason: str) -> str:
    return (
        f"the runtime directory {folder} cannot be used ({reason}); "
        f"set {RUNTIME_VARIABLE} to a directory that you can write"
    )
