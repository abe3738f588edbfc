"""The address of an <ffsocket>: whether it is free, and how a driver reaches it."""

import os
import socket
from xml.etree.ElementTree import Element

from les_ipi.driver.launch.simulation_input import SimulationInput
from les_ipi.errors import UserError
from les_ipi.ipi_files import read_integer


def driver_address(simulation: SimulationInput, element: Element) -> dict[str, str | int]:
    """The address of an <ffsocket> as keywords of ``DriverOptions``; raises ``UserError`` for mode="shm"."""
    address = (element.findtext("address") or "localhost").strip()
    mode = element.get("mode", "inet").strip()
    if mode == "unix":
        return {"unix": address, "prefix": simulation.sockets_prefix}
    if mode == "inet":
        port = read_integer(element.findtext("port") or "65535", "The <port>", simulation.path)
        return {"host": address, "port": port}
    raise UserError(f'The <ffsocket> has mode="{mode}", but les-ipi speaks "unix" and "inet": choose one of them.')


def claim_address(*, unix: str = "", prefix: str = "", host: str = "", port: int = 0) -> None:
    """Refuse an address that is taken with a ``UserError``; remove the socket file of a killed i-PI."""
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
