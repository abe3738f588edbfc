"""The client side of i-PI's socket protocol: unix and inet sockets, with one structure or a batch per message.

Differences to the client that ships with i-PI: it retries the connection, ends on EOF instead of spinning,
counts bytes, and hangs up in a way that i-PI survives. i-PI sends POSDATA and GETFORCE in one go; a client
that closes with GETFORCE unread resets the connection, which kills i-PI's polling thread and hangs the run.
:func:`_hang_up` therefore reads everything before it closes.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Sequence

import numpy as np

from les_ipi.driver.serve.force_server import Reply
from les_ipi.errors import UserError

#: i-PI's default prefix of unix socket files.
UNIX_PREFIX = "/tmp/ipi_"

_HEADER = 12
_RETRY_EVERY = 0.2

Evaluate = Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], list[Reply]]


class _ServerClosed(Exception):
    pass


def connect_unix(name: str, *, prefix: str = UNIX_PREFIX, retry: float = 60.0) -> socket.socket:
    """Connect to the unix socket on which i-PI listens.

    Parameters:
        name: the <address> in i-PI's input.
        prefix: start of the names of i-PI's socket files; the path of the socket is ``prefix + name``.
        retry: time in s for which the connection is tried again.

    Returns the connected socket. Raises ``UserError`` if there is no connection by then.
    """
    path = prefix + name

    def attempt() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(path)
        except OSError:
            connection.close()
            raise
        return connection

    return _connect(attempt, f"unix socket {path}", retry)


def connect_inet(host: str, port: int, *, retry: float = 60.0) -> socket.socket:
    """Connect to the network port on which i-PI listens.

    Parameters:
        host: name or address of the machine.
        port: number of the port.
        retry: time in s for which the connection is tried again.

    Returns the connected socket. Raises ``UserError`` if there is no connection by then.
    """
    try:
        socket.getaddrinfo(host, port)
    except socket.gaierror as error:
        raise UserError(f"The host '{host}' cannot be found ({error.strerror}): check --host.") from error

    def attempt() -> socket.socket:
        connection = socket.create_connection((host, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    return _connect(attempt, f"{host}:{port}", retry)


def _connect(attempt: Callable[[], socket.socket], where: str, retry: float) -> socket.socket:
    deadline = time.monotonic() + retry
    while True:
        try:
            return attempt()
        except OSError as error:
            if time.monotonic() >= deadline:
                raise UserError(
                    f"No i-PI server answers at {where} after {retry:g} s ({error.strerror or error}): "
                    "start i-PI first and use the address of its <ffsocket>."
                ) from error
            time.sleep(_RETRY_EVERY)


def serve(connection: socket.socket, evaluate: Evaluate) -> int:
    """Answer i-PI until it says EXIT or closes the connection.

    Parameters:
        connection: a connected socket.
        evaluate: function of a list of cells and a list of positions that returns a list of replies, such as a
            ``ForceServer``.

    Returns the number of structures that were evaluated.

    Any exception of ``evaluate`` passes through after the connection has been closed cleanly, so that i-PI can give
    the work to another driver.
    """
    try:
        return _Client(connection, evaluate).run()
    finally:
        _hang_up(connection)


def _hang_up(connection: socket.socket, patience: float = 2.0) -> None:
    """Say goodbye, then read what is still under way until the server closes too."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(patience)
        while connection.recv(1 << 16):
            pass
    connection.close()


class _Client:
    def __init__(self, connection: socket.socket, evaluate: Evaluate):
        self.connection = connection
        self.evaluate = evaluate
        self.batch_size = 1
        self.initialised = False
        self.replies: list[Reply] | None = None
        self.evaluated = 0

    def run(self) -> int:
        actions = {"STATUS": self._status, "INIT": self._init, "POSDATA": self._positions,
                   "GETFORCE": self._forces}  # fmt: skip
        try:
            while True:
                header = self._read(_HEADER).decode("ascii", "replace").strip()
                if header == "EXIT":
                    return self.evaluated
                if header not in actions:
                    raise UserError(
                        f"The server sent '{header}', which is not part of i-PI's socket protocol: check "
                        'that the address is i-PI\'s and that its <ffsocket> has mode="unix" or "inet".'
                    )
                actions[header]()
        except (_ServerClosed, ConnectionError):
            return self.evaluated

    def _status(self) -> None:
        if self.replies is not None:
            self._send(_message("HAVEDATA"))
        else:
            self._send(_message("READY" if self.initialised else "NEEDINIT"))

    def _init(self) -> None:
        self._read_int()  # index of the bead: every bead is served alike
        parameters = self._read(self._read_int()).decode("utf-8", "replace")
        self.batch_size = 1
        for item in parameters.split(","):
            key, _, value = item.partition(":")
            if key.strip() == "batch_size":
                self.batch_size = int(value)
        self.initialised = True

    def _positions(self) -> None:
        count = self.batch_size
        if count == 1:
            cells = self._read_floats(18).reshape(1, 2, 3, 3)
            atoms = self._read_int()
        else:
            atoms = self._read_int()
            cells = self._read_floats(18 * count).reshape(count, 2, 3, 3)
        positions = self._read_floats(3 * atoms * count).reshape(count, atoms, 3)
        self.replies = self._evaluate_without_padding(cells[:, 0], positions)

    def _evaluate_without_padding(self, cells: np.ndarray, positions: np.ndarray) -> list[Reply]:
        """i-PI fills an incomplete batch with copies of its last structure; those cost nothing here."""
        last = len(positions) - 1
        while last > 0 and (
            np.array_equal(positions[last], positions[last - 1]) and np.array_equal(cells[last], cells[last - 1])
        ):
            last -= 1
        replies = self.evaluate(list(cells[: last + 1]), list(positions[: last + 1]))
        self.evaluated += len(replies)
        return replies + [replies[-1]] * (len(positions) - len(replies))

    def _forces(self) -> None:
        if self.replies is None:
            raise UserError("The server asked for forces before it sent positions, which i-PI never does: check the address.")
        atoms = np.int32(len(self.replies[0].forces)).tobytes()
        parts = [_message("FORCEREADY"), np.array([reply.energy for reply in self.replies]).tobytes(), atoms]
        parts += [reply.forces.tobytes() for reply in self.replies]
        parts += [reply.virial.tobytes() for reply in self.replies]
        for reply in self.replies:
            text = reply.extras.encode("ascii")
            parts += [np.int32(len(text)).tobytes(), text]
        self._send(b"".join(parts))
        self.replies = None

    def _send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def _read(self, length: int) -> bytearray:
        buffer = bytearray(length)
        view, done = memoryview(buffer), 0
        while done < length:
            received = self.connection.recv_into(view[done:])
            if received == 0:
                raise _ServerClosed
            done += received
        return buffer

    def _read_int(self) -> int:
        return int(np.frombuffer(self._read(4), np.int32)[0])

    def _read_floats(self, count: int) -> np.ndarray:
        return np.frombuffer(self._read(8 * count), np.float64)


def _message(text: str) -> bytes:
    return text.ljust(_HEADER).encode("ascii")
