"""What ends a command with status 1 and one clear sentence."""


class OperatorError(Exception):
    """Something the operator must mend; the text says what and how."""
