"""Fingerprints: one for one code, in every process; another when anything that a replay runs moved.

The application `game` below is written to a folder, edited, and imported afresh.
"""

import importlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spry_sqla.fingerprint import Code

GAME = {
    "game/__init__.py": "",
    "game/domain.py": '''
"""The domain of the game."""
from __future__ import annotations

import collections
import datetime
import enum
import functools
import logging
import random
import re
import threading
from dataclasses import dataclass, field
from decimal import Decimal

import attrs
import msgspec
import pydantic

import game.places
import spry_sqla.model as spry
from game import rules, tools as kit
from game.rules import LIMIT as HIGHEST, heal

log = logging.getLogger(__name__)
lock = threading.Lock()
dice = random.Random()

WORDS = {"sword", "shield", "bow", "spear", "axe"}
TABLE = {"sword": Decimal("1.10"), "bow": [1, 2.5, {"a", "b"}], ("x", 1): b"raw"}
START = datetime.date(2020, 1, 1)
PATTERN = re.compile("a+b")
ORDER = [{"first": 1, "other": 2}, collections.OrderedDict(first=1, second=2)]


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"

    def strength(self):
        return 7 if self is Color.RED else 8


FAVOURITES = frozenset([Color.RED, Color.BLUE])


@dataclass
class Item:
    name: str = "stick"
    weight: int = 1

    def price(self):
        return self.weight * 11


@dataclass(slots=True)
class Purse:
    coins: int = 13
    marks: list[str] = field(default_factory=lambda: ["mark"])

    def worth(self):
        return self.coins * 2


GIFT = Item("gift", 14)


@attrs.define
class Shield:
    size: int = attrs.field(default=15, converter=lambda size: int(size) + 16)


class Bow(msgspec.Struct):
    range: int = 17
    arrows: list[Item] = []


class Potion(pydantic.BaseModel):
    strength: int = pydantic.Field(default=18, gt=0)

    @pydantic.field_validator("strength")
    @classmethod
    def check(cls, strength):
        return strength + 19


def memo(function):
    @functools.wraps(function)
    def remembering(*args):
        return function(*args) or 20

    return remembering


@functools.lru_cache(maxsize=10)
def cached(level):
    return level * 21


@memo
def wrapped(level):
    return level * 22


def even(level):
    return level == 0 or odd(level - 1)


def odd(level):
    return level != 0 and even(level - 1)


@functools.singledispatch
def value_of(thing):
    return 23


@value_of.register
def _(thing: int):
    return 24


def adder(amount):
    return lambda level: level + amount


add = adder(25)
part = functools.partial(adder, 26)
table = {"v1": game.places}


class Base:
    BONUS = 27

    def inherited(self):
        return self.BONUS + 28


@dataclass
class Player(Base, spry.Actor):
    """A player."""

    name: str = ""
    level: int = 29
    purse: Purse = field(default_factory=Purse)
    item: Item | None = None
    shields: list[Shield] = field(default_factory=list)
    bow: Bow | None = None
    potion: Potion | None = None

    def identifiers(self):
        return {"name": self.name}

    @property
    def strength(self):
        return self.level + 30

    @functools.cached_property
    def height(self):
        """How high."""
        return 31

    @staticmethod
    def static():
        return 32

    @classmethod
    def made(cls):
        return cls(level=33)


@dataclass(frozen=True)
class Raised(spry.Event):
    """A level more."""

    by: int = 34

    def apply(self, actor, *, factor=35):
        """Raise the player."""
        from game.late import later
        from . import quiet
        import game.deep.hidden as hidden

        log.info("raised")
        with lock:
            dice.random()
        if self.by in {"p", "q", "r", "s", "t"}:
            return missing_name
        actor.level += rules.limit(self.by) + kit.halve(actor.level) + HIGHEST + factor
        steps = [hidden.secret(step) for step in range(36)]
        again = lambda: quiet.whisper(steps)
        return (WORDS, TABLE, START, PATTERN, ORDER, FAVOURITES, GIFT, heal, later, again, cached,
                wrapped, even, value_of, add, part, game.places.town.name, getattr(kit, self.how),
                table, len(steps))


class Undone(spry.Event):
    def apply(self, actor):
        actor.level = 37
''',
    "game/rules.py": """
import game.more as more

LIMIT = 40

def limit(level):
    return min(level, more.helped(LIMIT))

def heal(actor):
    return actor.level + 41

def unused():
    return 42
""",
    "game/more.py": "def helped(limit):\n    return limit + 43\n",
    "game/tools.py": "def halve(n):\n    return n // 44\ndef by_name():\n    return 45\n",
    "game/late.py": "def later():\n    return 46\n",
    "game/quiet.py": "def whisper(steps):\n    return steps[:47]\n",
    "game/places.py": "class town:\n    name = 48\ndef any_place():\n    return 49\n",
    "game/deep/__init__.py": "",
    "game/deep/hidden.py": "def secret(step):\n    return step - 50\n",
}

Fingerprint = Callable[..., str]


@pytest.fixture
def fingerprint_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fingerprint]:
    """Write an application, with edits, import it afresh, and take a fingerprint."""
    counter = itertools.count()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget() -> None:
        for name in [it for it in sys.modules if it.partition(".")[0] == "game"]:
            del sys.modules[name]

    def take(
        *edits: tuple[str, str, str], revision: int = 0, shapes: tuple[str, ...] = (), **files: str
    ) -> str:
        folder = tmp_path / f"{next(counter)}"
        sources = {f"game/{name}.py": text for name, text in files.items()} or GAME
        write(folder, edited({"game/__init__.py": "", **sources}, edits))
        forget()
        monkeypatch.syspath_prepend(folder)
        domain: Any = importlib.import_module("game.domain")
        events = [vars(domain)[name] for name in ("Raised", "Undone") if name in vars(domain)]
        code = Code([domain.Player], events)
        return code.fingerprint(domain.Player, revision=revision, shapes=shapes)

    yield take
    forget()


def write(folder: Path, sources: dict[str, str]) -> None:
    for path, text in sources.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def edited(sources: dict[str, str], edits: tuple[tuple[str, str, str], ...]) -> dict[str, str]:
    changed = dict(sources)
    for path, before, after in edits:
        assert changed[path].count(before) == 1, (before, "must be there once")
        changed[path] = changed[path].replace(before, after)
    return changed


DOMAIN = "game/domain.py"

CHANGES = {
    "an event's apply": (DOMAIN, "actor.level = 37", "actor.level = 370"),
    "an operator": (DOMAIN, "actor.level += rules", "actor.level -= rules"),
    "a set in code": (DOMAIN, '"s", "t"}', '"s", "u"}'),
    "a comprehension": (DOMAIN, "range(36)", "range(360)"),
    "a keyword default": (DOMAIN, "factor=35", "factor=350"),
    "a name that is missing": (DOMAIN, "missing_name", "missing_other"),
    "a set": (DOMAIN, '"spear", "axe"}', '"spear", "ax"}'),
    "the scale of a decimal": (DOMAIN, '"1.10"', '"1.1"'),
    "a nested float": (DOMAIN, "2.5", "2.50001"),
    "the type of a number": (DOMAIN, "[1, 2.5", "[True, 2.5"),
    "a dict's key": (DOMAIN, '("x", 1)', '("x", 2)'),
    "the order of a dict": (DOMAIN, '{"first": 1, "other": 2}', '{"other": 2, "first": 1}'),
    "a date": (DOMAIN, "date(2020, 1, 1)", "date(2020, 1, 2)"),
    "a pattern": (DOMAIN, '"a+b"', '"a*b"'),
    "the order of an OrderedDict": (DOMAIN, "first=1, second=2", "second=2, first=1"),
    "an enum's value": (DOMAIN, 'BLUE = "b"', 'BLUE = "c"'),
    "an enum's method": (DOMAIN, "else 8", "else 80"),
    "a set of members": (DOMAIN, "frozenset([Color.RED, Color.BLUE])", "frozenset([Color.RED])"),
    "an instance": (DOMAIN, '"gift", 14', '"gift", 140'),
    "a method of a field's class": (DOMAIN, "self.weight * 11", "self.weight * 110"),
    "a default of a field's class": (DOMAIN, "coins: int = 13", "coins: int = 130"),
    "a default factory": (DOMAIN, '["mark"]', '["sign"]'),
    "a method of a slotted class": (DOMAIN, "self.coins * 2", "self.coins * 3"),
    "an attrs default": (DOMAIN, "default=15", "default=150"),
    "an attrs converter": (DOMAIN, "int(size) + 16", "int(size) + 160"),
    "a Struct's default": (DOMAIN, "range: int = 17", "range: int = 170"),
    "a pydantic default": (DOMAIN, "default=18", "default=180"),
    "a pydantic constraint": (DOMAIN, "gt=0", "gt=1"),
    "a pydantic validator": (DOMAIN, "strength + 19", "strength + 190"),
    "a decorator": (DOMAIN, "or 20", "or 200"),
    "a cached function": (DOMAIN, "level * 21", "level * 210"),
    "a wrapped function": (DOMAIN, "level * 22", "level * 220"),
    "functions that call each other": (DOMAIN, "level != 0 and", "level > 0 and"),
    "a single dispatch": (DOMAIN, "return 23", "return 230"),
    "one of its implementations": (DOMAIN, "return 24", "return 240"),
    "a closure": (DOMAIN, "adder(25)", "adder(250)"),
    "a partial": (DOMAIN, "(adder, 26)", "(adder, 260)"),
    "an inherited constant": (DOMAIN, "BONUS = 27", "BONUS = 270"),
    "an inherited method": (DOMAIN, "self.BONUS + 28", "self.BONUS + 280"),
    "a base class": (DOMAIN, "Player(Base, spry.Actor)", "Player(spry.Actor)"),
    "a default of the state": (DOMAIN, "level: int = 29", "level: int = 290"),
    "a property": (DOMAIN, "self.level + 30", "self.level + 300"),
    "a cached property": (DOMAIN, "return 31", "return 310"),
    "a static method": (DOMAIN, "return 32", "return 320"),
    "a class method": (DOMAIN, "level=33", "level=330"),
    "a default of an event": (DOMAIN, "by: int = 34", "by: int = 340"),
    "which function is called": (DOMAIN, "rules.limit(self.by)", "rules.heal(self.by)"),
    "a constant of another module": ("game/rules.py", "LIMIT = 40", "LIMIT = 400"),
    "a function of another module": ("game/rules.py", "actor.level + 41", "actor.level + 410"),
    "a helper's helper": ("game/more.py", "limit + 43", "limit + 430"),
    "a module's function": ("game/tools.py", "n // 44", "n // 440"),
    "what getattr might find in a module": ("game/tools.py", "return 45", "return 450"),
    "a function that is imported late": ("game/late.py", "return 46", "return 460"),
    "a module in a nested function": ("game/quiet.py", "steps[:47]", "steps[:470]"),
    "an attribute of a module's class": ("game/places.py", "name = 48", "name = 480"),
    "a module that is a value": ("game/places.py", "return 49", "return 490"),
    "a module under another name": ("game/deep/hidden.py", "step - 50", "step - 500"),
}


@pytest.fixture(scope="module")
def unchanged() -> list[str]:
    return []


@pytest.mark.parametrize("edit", CHANGES.values(), ids=CHANGES)
def test_a_change_of_what_replay_reaches_changes_it(
    edit: tuple[str, str, str], fingerprint_of: Fingerprint, unchanged: list[str]
) -> None:
    if not unchanged:
        unchanged.append(fingerprint_of())

    assert fingerprint_of(edit) not in unchanged


@pytest.mark.parametrize(
    "edit",
    [
        (DOMAIN, "        log.info", "        # A comment.\n\n        log.info"),
        (DOMAIN, '"""The domain of the game."""', ""),
        (DOMAIN, '"""A level more."""', '"""One level more."""'),
        (DOMAIN, '        """Raise the player."""\n', ""),
        (DOMAIN, '"""How high."""', '"""How tall."""'),
        (DOMAIN, '"""A player."""', '"""A player of the game."""\n    # and so on'),
        (DOMAIN, "class Undone", "def not_reached():\n    return 1\n\n\nclass Undone"),
        (DOMAIN, 'WORDS = {"sword", "shield"', 'WORDS = {"shield", "sword"'),
        (DOMAIN, "getLogger(__name__)", 'getLogger("other")'),
        ("game/rules.py", "return 42", "return 420"),
    ],
    ids=str,
)
def test_a_change_of_nothing_that_runs_does_not(
    edit: tuple[str, str, str], fingerprint_of: Fingerprint
) -> None:
    assert fingerprint_of(edit) == fingerprint_of()


def test_it_is_32_hexadecimal_digits(fingerprint_of: Fingerprint) -> None:
    taken = fingerprint_of()

    assert len(taken) == 32
    assert set(taken) <= set("0123456789abcdef")


def test_revision_and_shapes_count(fingerprint_of: Fingerprint) -> None:
    taken = [
        fingerprint_of(),
        fingerprint_of(revision=1),
        fingerprint_of(shapes=("a", "b")),
        fingerprint_of(shapes=("a\nb",)),
        fingerprint_of(shapes=("a", "b", "\ud800")),
    ]

    assert len(set(taken)) == 5
    assert fingerprint_of(shapes=("b", "a")) == fingerprint_of(shapes=("a", "b"))


IN_A_PROCESS = """
import sys, types
library = sys.modules["spry_sqla"] = types.ModuleType("spry_sqla")
library.__path__ = [sys.argv[1]]  # the modules that are wanted, without SQLAlchemy: it is faster
for name in sys.argv[2].split():
    __import__(name)
from game import domain
from spry_sqla.fingerprint import Code

def take(events):
    code = Code([domain.Player], events)
    return code.fingerprint(domain.Player, revision=3, shapes=["a", "b"])

first = take([domain.Raised, domain.Undone])
import copy, pickle, msgspec
player = domain.Player("Ada", bow=domain.Bow(), shields=[domain.Shield()], potion=domain.Potion())
assert msgspec.json.decode(msgspec.json.encode(domain.Item()), type=domain.Item) == domain.GIFT or 1
player.height, player.strength, domain.cached(1), domain.value_of(1), hash(domain.Raised())
copy.deepcopy([domain.Item(), domain.Raised()]), pickle.dumps(domain.Item())
assert take([domain.Undone, domain.Raised]) == first, "it changed with use"
print(first)
"""


def test_every_process_finds_the_same(tmp_path: Path) -> None:
    library = str(Path(__file__).parent.parent / "spry_sqla")
    processes = []
    for seed, imports in enumerate(["", "game.more game.late", "game.deep.hidden random"]):
        folder = tmp_path / f"somewhere{seed}"
        write(folder, GAME)
        (folder / "take.py").write_text("\n" * seed + IN_A_PROCESS)
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        command = [sys.executable, str(folder / "take.py"), library, imports]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE))

    taken = [process.communicate()[0] for process in processes]

    assert [process.returncode for process in processes] == [0] * 3
    assert len(set(taken)) == 1


PLAIN = """
class Player:
    level = 1

class Raised:
    def apply(self, actor):
        return reached
"""


@pytest.mark.parametrize(
    "constant",
    [
        *("threading.Lock()", "sys.stdout", "(n for n in range(3))", "lambda: reached"),
        *("sys", "print", "math.floor", "{}.get", "object()", "weakref.ref(Player)", "Mock()"),
        *("list(range(50_000))", "{n: str(n) for n in range(20_000)}", "10**6000", "'\\ud800'"),
        *("nested(1000)", "cyclic()", "random.Random()", "ZoneInfo('UTC')", "Hostile()"),
        *("types.SimpleNamespace(default=Hostile())", "functools.partial(print, Hostile())"),
    ],
)
def test_anything_can_be_a_constant(constant: str, fingerprint_of: Fingerprint) -> None:
    header = """
import functools, math, random, sys, threading, types, weakref
from unittest.mock import Mock
from zoneinfo import ZoneInfo

class Hostile:
    def __getattribute__(self, name):
        raise RuntimeError(name)

def nested(depth):
    inside = []
    for _ in range(depth):
        inside = [inside]
    return inside

def cyclic():
    one, other = {}, [object]
    one["other"] = other
    other.append(one)
    return one
"""
    domain = f"{header}{PLAIN}\nreached = {constant}\n"

    assert fingerprint_of(domain=domain) == fingerprint_of(domain=domain)


def test_what_is_alike_at_first_sight_is_told_apart(fingerprint_of: Fingerprint) -> None:
    straight = f"{PLAIN}\none = lambda: lambda: 1\nother = lambda: lambda: 2\n"
    pair = "reached = [{'a': one, 'b': other}, one]"
    swapped = "reached = [{'a': other, 'b': one}, one]"

    assert fingerprint_of(domain=straight + pair) != fingerprint_of(domain=straight + swapped)


def test_values_of_libraries_that_carry_nothing_count_by_their_type(
    fingerprint_of: Fingerprint,
) -> None:
    one = fingerprint_of(domain=f"import sqlalchemy as sa\n{PLAIN}\nreached = sa.MetaData()")
    other = fingerprint_of(domain=f"import sqlalchemy as sa\n{PLAIN}\nreached = sa.Integer()")

    assert one != other


def test_actors_of_one_domain_are_told_apart_each_by_its_own_code() -> None:
    def taken(first: str, second: str) -> list[str]:
        namespace: dict[str, Any] = {"__name__": "__main__"}
        source = (
            f"class P:\n def help(self): return [P, {first}]\n"
            f"class Q:\n def help(self): return [Q, {second}]\n"
            "class E:\n def apply(self, p): p.help()\n"
        )
        exec(compile(source, "<stdin>", "exec"), namespace)
        states = [namespace["P"], namespace["Q"]]
        code = Code(states, [namespace["E"]])
        return [code.fingerprint(state, revision=0, shapes=[]) for state in states]

    (first, second), (same, other) = taken("1", "2"), taken("1", "3")
    assert first == same
    assert second != other
    assert first != second


def test_code_that_was_typed_in_counts_like_any_other() -> None:
    def typed(amount: int) -> str:
        namespace: dict[str, Any] = {"__name__": "__main__"}
        source = (
            "class P: pass\n"
            "class E:\n def apply(self, p): return helped()\n"
            f"def helped(): return {amount}\n"
        )
        exec(compile(source, "<stdin>", "exec"), namespace)
        code = Code([namespace["P"]], [namespace["E"]])
        return code.fingerprint(namespace["P"], revision=0, shapes=[])

    assert typed(1) == typed(1)
    assert typed(1) != typed(2)


RARE = """
import re

class Meta(type):
    def __call__(cls):
        return 51

class Made(metaclass=Meta):
    pass

class Level(int):
    def up(self):
        return self + 1

PATTERN = re.compile("a+b", re.IGNORECASE)
WEIGHT = Level(52)
look = {"sword": 53}.get

class Player:
    level = 1

class Raised:
    def apply(self, actor):
        return (Made(), PATTERN, WEIGHT, look)
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("return 51", "return 510"),
        ("re.IGNORECASE", "re.DOTALL"),
        ("Level(52)", "Level(520)"),
        ('{"sword": 53}', '{"sword": 530}'),
    ],
)
def test_what_is_seldom_reached_counts_as_well(
    before: str, after: str, fingerprint_of: Fingerprint
) -> None:
    assert RARE.count(before) == 1
    assert fingerprint_of(domain=RARE) != fingerprint_of(domain=RARE.replace(before, after))


def test_which_lines_a_handler_guards_counts(fingerprint_of: Fingerprint) -> None:
    """Only the table of exceptions tells: the instructions are the same."""
    head = """
class Player: pass
class Raised:
    def apply(self, actor):
        try:
            actor.first()
"""
    guarded = """            actor.second()
        except KeyError:
            return None
        else:
            return None
"""
    not_guarded = """        except KeyError:
            return None
        else:
            actor.second()
            return None
"""
    assert fingerprint_of(domain=head + guarded) != fingerprint_of(domain=head + not_guarded)


HELD = """
import array, collections, enum, functools, json, string, struct, types
import attrs
from sortedcontainers import SortedDict, SortedKeyList

RATES = collections.defaultdict(lambda: 61, {"DE": 62})
LIMITS = types.SimpleNamespace(default=0, bonus=63)
BRACKETS = SortedDict({0: 64})
RANKED = SortedKeyList([1, 2], key=lambda number: number * 65)
BY_SIZE = functools.cmp_to_key(lambda one, other: (one - other) * 66)
READ = json.JSONDecoder(object_hook=lambda found: 67)
GREETING = string.Template("$name has 68")
FORM = struct.Struct("69s")
STEPS = array.array("i", [70])

class Level(enum.Enum):
    GOLD = "gold"
    _RATE = enum.nonmember(71)
    def points(self): return self._points()
    def _points(self): return 72
    @classmethod
    def _missing_(cls, value): return cls.GOLD if value == 73 else None

class Bits(enum.Flag, boundary=enum.KEEP):
    ONE = 1

@attrs.define(slots=False)
class Coin:
    worth: int = attrs.field(default=0, converter=attrs.converters.pipe(int, lambda n: n * 74))
    rate: object = attrs.field(default=0, converter=attrs.converters.default_if_none(75))
    def __attrs_pre_init__(self): self.before = 76
    def __attrs_post_init__(self): self.after = 77

class Player:
    level = 1

class Raised:
    def apply(self, actor):
        return (RATES, LIMITS, BRACKETS, RANKED, BY_SIZE, READ, GREETING, FORM, STEPS, Level, Bits,
                Coin)
"""


@pytest.mark.parametrize("number", [str(number) for number in range(61, 78)])
def test_what_objects_of_other_libraries_hold_counts(
    number: str, fingerprint_of: Fingerprint
) -> None:
    assert HELD.count(number) == 1

    assert fingerprint_of(domain=HELD) != fingerprint_of(domain=HELD.replace(number, f"{number}0"))


def test_how_a_flag_takes_what_it_does_not_know_counts(fingerprint_of: Fingerprint) -> None:
    other = HELD.replace("enum.KEEP", "enum.CONFORM")

    assert fingerprint_of(domain=HELD) != fingerprint_of(domain=other)


def test_what_objects_of_other_libraries_hold_is_the_same_in_every_process(tmp_path: Path) -> None:
    write(tmp_path, {"game/__init__.py": "", "game/domain.py": HELD})
    take = """
from game.domain import *
from spry_sqla.fingerprint import Code
def take(): return Code([Player], [Raised]).fingerprint(Player, revision=0, shapes=[])
first = take()
Coin(1), Level(73), Bits(8), RATES["DE"], BY_SIZE(1) < BY_SIZE(2), READ.decode("{}")
assert take() == first, "it changed with use"
print(first)
"""
    taken = {
        subprocess.run(
            [sys.executable, "-c", take],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(taken) == 1
