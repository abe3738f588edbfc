"""The one exception that a user's mistake raises."""


class UserError(Exception):
    """A mistake in the input, described in one sentence: what was found, what was expected, how to fix it.

    The command line prints the sentence and exits with status 2; library users catch it like any exception.
    """
