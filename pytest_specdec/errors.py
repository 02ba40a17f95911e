"""Errors of the core.

```
SpecdecError                an error that the user can act on; never a traceback
├── InvalidInputError       an argument, a marker, a file: exit as a usage error
│   └── BrokenFileError     a file that cannot be read in its expected format
├── NotComparableError      two things that are unlike; the message names the field
├── NotMeasuredError        a value outside the measured range
├── EngineError             the endpoint or the engine: infrastructure, never a regression
├── InconclusiveError       the measured interval does not decide the question
└── AuditError              stored baselines that do not fit the suites
```

Only the adapters (`plugin`, `outcomes`, `__main__`) turn these into pytest outcomes and exit codes.
"""

from __future__ import annotations

INTERRUPTED = "interrupted"
"""Reason for a cell that Ctrl-C left unmeasured."""


class SpecdecError(Exception):
    """An error that the user can act on; its text is one complete message."""


class InvalidInputError(SpecdecError):
    """An argument, marker or setting that cannot be used."""


class BrokenFileError(InvalidInputError):
    """A file that cannot be read in its expected format."""


class NotComparableError(SpecdecError):
    """Two results that are unlike; the message names the field that differs."""


class NotMeasuredError(SpecdecError):
    """A value was requested outside the measured range."""


class EngineError(SpecdecError):
    """The endpoint or engine could not be used: trouble with the infrastructure, not a regression."""


class InconclusiveError(SpecdecError):
    """A comparison that the measured interval does not decide."""


class AuditError(SpecdecError):
    """Stored baselines do not fit the suites: some are missing, or belong to no suite."""
