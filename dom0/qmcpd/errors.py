"""Refusals. Anything that is not one of these, reaching the edge, is answered `failed` without a word more."""

CODES = frozenset({
    "invalid-request",   # shape only: depends on nothing but the caller's bytes
    "not-found",         # missing, out of scope, under tier, guarded, tombstoned: identical
    "name-not-allowed",  # shape only, before any look-up
    "name-taken",        # only ever about the world's own prefix
    "not-permitted",     # a value refused whatever the host looks like
    "over-budget",
    "rate-limited",
    "busy",
    "frozen",
    "conflict",          # the state of a qube in scope
    "failed",            # no detail; the operator has it in the log
})


class Refused(Exception):
    """A call that does not happen. `data` may hold only the caller's own words."""

    def __init__(self, code, **data):
        assert code in CODES, code
        super().__init__(code)
        self.code = code
        self.data = data


class Misconfigured(Exception):
    """A file of the operator's that cannot be used. The message says which file, which line, and what was expected."""
