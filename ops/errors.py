"""What ends a command with one clear sentence; the exit status tells whose turn it is."""


class OperatorError(Exception):
    """Something the operator must mend; the text says what and how."""

    status = 1


class WrongInputError(OperatorError):
    """An argument or option that cannot be right; the text names it and says what it may be."""

    status = 2
