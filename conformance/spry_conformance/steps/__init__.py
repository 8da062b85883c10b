"""What can happen to a storage, a class for each kind of step, and each told in a sentence."""

from spry_conformance.steps.common import MAIN, AtOnce, Fetch, Handle, HandleMany, Reopen
from spry_conformance.steps.replay import (
    Abandon,
    Arrive,
    Crowd,
    Dawdle,
    Elsewhere,
    Forge,
    FreshProcess,
    Look,
    Lose,
)
from spry_conformance.steps.transactions import (
    Cancelled,
    InTransaction,
    Overtaken,
    OwnCommand,
    Peek,
    Put,
    Savepoint,
    SpoilSnapshot,
)

Step = (
    Handle
    | HandleMany
    | Fetch
    | Reopen
    | AtOnce
    | Look
    | Forge
    | Dawdle
    | Lose
    | Abandon
    | Elsewhere
    | Arrive
    | Crowd
    | FreshProcess
    | Overtaken
    | Put
    | InTransaction
    | Cancelled
    | SpoilSnapshot
    | OwnCommand
)
"""What a history is made of."""

__all__ = [
    "MAIN",
    "Abandon",
    "Arrive",
    "AtOnce",
    "Cancelled",
    "Crowd",
    "Dawdle",
    "Elsewhere",
    "Fetch",
    "Forge",
    "FreshProcess",
    "Handle",
    "HandleMany",
    "InTransaction",
    "Look",
    "Lose",
    "Overtaken",
    "OwnCommand",
    "Peek",
    "Put",
    "Reopen",
    "Savepoint",
    "SpoilSnapshot",
    "Step",
]
