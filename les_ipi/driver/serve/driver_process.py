"""One driver process: load a model and a template, connect to i-PI, answer until it ends.

``python -m les_ipi.driver.serve.driver_process '{"model": ..., ...}'`` is how ``les-ipi run`` starts its drivers; people use
``les-ipi driver``.
"""

import json
import signal
import sys
from dataclasses import dataclass

from les_ipi.driver.serve.client import UNIX_PREFIX, connect_inet, connect_unix, serve
from les_ipi.driver.serve.force_server import ForceServer
from les_ipi.driver.serve.loading import load_evaluator, print_error
from les_ipi.driver.serve.template import read_template
from les_ipi.errors import UserError


@dataclass(frozen=True)
class DriverOptions:
    """What a driver process needs; exactly one of ``unix`` (socket name) and ``host``+``port`` is given."""

    model: str
    template: str
    unix: str | None = None
    host: str | None = None
    port: int | None = None
    prefix: str = UNIX_PREFIX
    properties: str = "dipole"
    device: str = "cpu"
    dtype: str = "float32"
    threads: int | None = None
    compile: bool = False
    retry: float = 60.0
    constant_field: str = ""
    voltage: str = ""
    beads: int = 1


def run_driver(options: DriverOptions, load=load_evaluator) -> int:
    """Serve i-PI until it says EXIT or closes the connection.

    Parameters: ``options``; ``load``, called as ``load(model, device=, dtype=, threads=, compile=)``. Returns the
    number of structures evaluated. Raises ``UserError`` for every mistake that a user can make, after hanging
    up cleanly.
    """
    if (options.unix is None) == (options.port is None):
        raise UserError("Name i-PI's address once: --unix NAME for a unix socket or --port P (and --host H) for inet.")
    template = read_template(options.template)
    evaluator = load(
        options.model,
        device=options.device,
        dtype=options.dtype,
        threads=options.threads,
        compile=options.compile,
    )
    server = ForceServer(
        evaluator, template, options.properties, constant_field=options.constant_field, voltage=options.voltage,
        beads=options.beads,
    )  # fmt: skip
    # A driver that is told to go must hang up like one that fails (see client.py).
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.unix is not None:
        connection = connect_unix(options.unix, prefix=options.prefix, retry=options.retry)
    else:
        connection = connect_inet(options.host or "localhost", options.port, retry=options.retry)
    return serve(connection, server)


def main(argument: str, load=load_evaluator) -> None:
    """Run a driver from its options as JSON text; mistakes end with one marked sentence and status 2."""
    try:
        run_driver(DriverOptions(**json.loads(argument)), load)
    except UserError as error:
        print_error(str(error))
        raise SystemExit(2) from error


if __name__ == "__main__":
    main(sys.argv[1])
