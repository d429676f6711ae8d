"""The one exception that is meant for the person at the terminal."""


class UserError(Exception):
    """Something the user can put right: bad params, files, pictures or networks.

    The message is one line that says what is wrong, where, and what to do.
    """
