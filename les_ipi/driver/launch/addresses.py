"""The address of an <ffsocket>: whether it is free, and how a driver reaches it."""

import os
import socket
from xml.etree.ElementTree import Element

from les_ipi.driver.launch.simulation_input import SimulationInput
from les_ipi.errors import UserError
from les_ipi.ipi_files import read_integer


def driver_address(simulation: SimulationInput, element: Element) -> dict[str, str | int]:
    """Find the address of an <ffsocket>.

    Parameters:
        simulation: the input of the run.
        element: the element <ffsocket>.

    Returns the address as keywords of ``DriverOptions``. Raises ``UserError`` for mode="shm".
    """
    address = (element.findtext("address") or "localhost").strip()
    mode = element.get("mode", "inet").strip()
    if mode == "unix":
        return {"unix": address, "prefix": simulation.sockets_prefix}
    if mode == "inet":
        port = read_integer(element.findtext("port") or "65535", "The <port>", simulation.path)
        return {"host": address, "port": port}
    raise UserError(f'The <ffsocket> has mode="{mode}", but les-ipi speaks "unix" and "inet": choose one of them.')


def claim_address(*, unix: str = "", prefix: str = "", host: str = "", port: int = 0) -> None:
    """Check that an address is free, and remove the socket file that a killed i-PI has left.

    Parameters:
        unix: name of a unix socket, or "".
        prefix: start of the names of i-PI's socket files.
        host: name or address of the machine.
        port: number of a network port, or 0.

    Raises ``UserError`` if the address is taken.
    """
    if unix:
        _claim_unix(prefix + unix)
        return
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(
                f"Port {port} at '{host}' cannot be used ({error.strerror}): choose another <port>."
            ) from error


def _claim_unix(path: str) -> None:
    if not os.path.exists(path):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            os.unlink(path)
            return
    raise UserError(f"The unix socket {path} is used by a running i-PI: choose another <address>.")
