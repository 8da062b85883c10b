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
    Long,
    Look,
    Lose,
)
from spry_conformance.steps.transactions import (
    Cancelled,
    Claim,
    InTransaction,
    Overtaken,
    OwnCommand,
    Peek,
    Put,
    Savepoint,
    SpoilSnapshot,
)
from spry_conformance.steps.values import Jot, KeptElsewhere, MapDigest, Refuse, Spoil, Take

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
    | MapDigest
    | Take
    | Refuse
    | Spoil
    | KeptElsewhere
    | Jot
    | Look
    | Forge
    | Dawdle
    | Lose
    | Abandon
    | Elsewhere
    | Arrive
    | Crowd
    | Long
    | FreshProcess
    | Claim
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
    "Claim",
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
    "Jot",
    "KeptElsewhere",
    "Long",
    "Look",
    "Lose",
    "MapDigest",
    "Outrun",
    "Overtaken",
    "OwnCommand",
    "Peek",
    "Put",
    "Race",
    "Refuse",
    "Reopen",
    "Savepoint",
    "Spoil",
    "SpoilSnapshot",
    "Spoilt",
    "Step",
    "Take",
    "Together",
]
