"""What can happen to a storage, a class for each kind of step, and each told in a sentence."""

from spry_conformance.steps.append import ByHand, Crash, InTurns, Outrun, Race, Spoilt, Together
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
    | InTurns
    | Spoilt
    | ByHand
    | Together
    | Outrun
    | Race
    | Crash
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
    "ByHand",
    "Cancelled",
    "Crash",
    "Crowd",
    "Dawdle",
    "Elsewhere",
    "Fetch",
    "Forge",
    "FreshProcess",
    "Handle",
    "HandleMany",
    "InTransaction",
    "InTurns",
    "Look",
    "Lose",
    "Outrun",
    "Overtaken",
    "OwnCommand",
    "Peek",
    "Put",
    "Race",
    "Reopen",
    "Savepoint",
    "SpoilSnapshot",
    "Spoilt",
    "Step",
    "Together",
]
