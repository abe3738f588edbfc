"""The driver process: it loads a model and a template, connects to i-PI and answers until i-PI ends.

``python -m les_ipi.driver.serve.driver_process '{"model": ..., ...}'`` is how ``les-ipi run`` starts its drivers; people use
``les-ipi driver``.
"""

import json
import signal
import sys
from typing import ClassVar

from pydantic import Field

from les_ipi.driver.serve.client import UNIX_PREFIX, connect_inet, connect_unix, serve
from les_ipi.driver.serve.force_server import ForceServer
from les_ipi.driver.serve.loading import load_evaluator, print_error
from les_ipi.driver.serve.options import ServeOptions
from les_ipi.driver.serve.template import read_template
from les_ipi.errors import UserError


class DriverOptions(ServeOptions):
    """What a driver serves and where it connects; exactly one of ``unix`` (socket name) and ``port`` (with ``host``)
    is given.
    """

    may_be_empty: ClassVar[frozenset[str]] = frozenset({"prefix"})

    unix: str | None = Field(None, description="<address> of an <ffsocket mode='unix'>.")
    host: str = Field("localhost", description="<address> of an <ffsocket mode='inet'>.")
    port: int | None = Field(None, description="<port> of an <ffsocket mode='inet'>.")
    prefix: str = Field(UNIX_PREFIX, description="Start of the names of i-PI's socket files (sockets_prefix).")
    retry: float = Field(60.0, ge=0, description="Seconds to wait for i-PI.")


def run_driver(options: DriverOptions, load=load_evaluator) -> int:
    """Serve i-PI until it says EXIT or closes the connection.

    Parameters:
        options: what is served, and the address of i-PI.
        load: function that loads the evaluator, called as ``load(model, options)``.

    Returns the number of structures that were evaluated.

    Raises ``UserError`` for every mistake that a user can make, after hanging up cleanly.
    """
    if (options.unix is None) == (options.port is None):
        raise UserError("i-PI's address must be given exactly once: use --unix NAME, or --port P with --host H.")
    template = read_template(options.template)
    server = ForceServer.of(load(options.model, options), template, options)
    # A driver that is told to go must hang up like one that fails (see client.py).
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.unix is not None:
        connection = connect_unix(options.unix, prefix=options.prefix, retry=options.retry)
    else:
        connection = connect_inet(options.host, options.port, retry=options.retry)
    return serve(connection, server)


def main(argument: str, load=load_evaluator) -> None:
    """Run a driver whose options are given as JSON text; a mistake ends the process with one marked sentence and
    status 2.
    """
    try:
        run_driver(DriverOptions(**json.loads(argument)), load)
    except UserError as error:
        print_error(str(error))
        raise SystemExit(2) from error


if __name__ == "__main__":
    main(sys.argv[1])
