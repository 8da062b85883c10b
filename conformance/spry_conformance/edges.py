"""Values at the edges of what can be kept: tried in every run, whatever chance draws."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from spry_conformance.domain import Number, Side

TEXTS = (
    *("", " ", "a", "A", " a", "a ", "a  ", "\0", "a\0", "a\0b", "\t", "\n", "\r\n", "\x1b[0m"),
    *(
        "\x7f",
        "'",
        '"',
        "''",
        "\\",
        "\\u0000",
        "%",
        "%s",
        "$1",
        ":name",
        "?",
        "';--",
        "null",
        "true",
    ),
    *(
        "{}",
        '{"number":1}',
        "é",
        "e\u0301",
        "É",
        "ß",
        "ss",
        "İ",
        "i\u0307",
        "ﬁ",
        "fi",
        "K",
        "\u212a",
    ),
    *("\u202eevil", "\u2066x\u2069", "\u200b", "\u200d", "\u2028", "\ufeff", "\ufeffa", "\ufffd"),
    *("\ud7ff", "\ue000", "\ufffe", "\uffff", "\U00010000", "\U0010ffff", "🎲", "👩\u200d👧", "𝕏"),
    *("e" + "\u0301" * 40, "क्षि", "שלום", "中文", "a" * 255, "a" * 256, "a" * 255 + "b"),
    *("ä" * 300, "🎲" * 300, "a" * 3_000 + "b", "a" * 3_000 + "c", "x" * 70_000),
)
"""NUL, blanks, quotes, case, composed and not, bidirectional, astral, not characters, long."""

LONG_KEYS = (
    *("k" * 255, "k" * 254 + "l", "K" * 255, "ä" * 255, "ä" * 254 + "a"),
    *("🎲" * 255, "🎲" * 254 + "a", "k ", "k", " k", "K", "k\n", "e\u0301", "é", "%s:k", "{}"),
)
"""Idempotency keys: up to 255 characters, which may be 1,020 bytes, and all different."""

WHOLES = (
    *(0, 1, -1, 2**31 - 1, 2**31, -(2**31) - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63),
    *(-(2**63), -(2**63) - 1, 2**64, 2**64 - 1, 2**128, 10**40, 10**40 + 1, -(10**40), 10**3_000),
)

REALS = (
    *(0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 0.1, 1 / 3),
    *(1.0, 1e15, 1e16, 1e22, 1e23, 123456789.123456789, float(2**53), -1e-7),
)

EXACTS = tuple(
    Decimal(text)
    for text in (
        *("0", "-0", "0.00", "-0.00", "0E+3", "0E-30", "1", "1.0", "1.10", "1.1000", "100", "1E+2"),
        *(
            "1E-30",
            "-1.50",
            "1E+1000",
            "1E-1000",
            "0.1",
            "123456789012345678901234567890.12345",
        ),
    )
)

_OFFSETS = (
    UTC,
    *(
        timezone(timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=micro))
        for hours, minutes, seconds, micro in (
            *((0, 0, 0, 0), (5, 45, 0, 0), (-23, -59, 0, 0), (23, 59, 59, 999_999)),
            *((0, 0, -1, 0), (1, 0, 0, 1)),
        )
    ),
)


def _zones() -> tuple[ZoneInfo, ...]:
    """A zone whose clocks are set back, where this machine knows it."""
    try:
        return (ZoneInfo("Europe/Berlin"),)
    except ZoneInfoNotFoundError:
        return ()


_BACK = datetime(2024, 10, 27, 2, 30)  # it happened twice in Berlin

MOMENTS = (
    *(datetime.min, datetime.max, _BACK, _BACK.replace(fold=1), datetime(2020, 1, 1)),
    *(_BACK.replace(tzinfo=offset, microsecond=1) for offset in _OFFSETS),
    *(_BACK.replace(tzinfo=zone, fold=fold) for zone in _zones() for fold in (0, 1)),
    *(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
    *(datetime.min.replace(tzinfo=_OFFSETS[2]), datetime.max.replace(tzinfo=_OFFSETS[3])),
)

DAYS = (date.min, date.max, date(2024, 2, 29), date(1582, 10, 10), date(1970, 1, 1))

HOURS = (
    *(time.min, time.max, time(12, 30, fold=1), time(0, 0, 0, 1)),
    *(time(12, 30, tzinfo=offset) for offset in _OFFSETS),
)

SPANS = (
    *(timedelta.min, timedelta.max, timedelta(0), timedelta(microseconds=-1), timedelta(days=-1)),
    timedelta(days=1, microseconds=1),
)

UUIDS = (UUID(int=0), UUID(int=2**128 - 1), UUID("00112233-4455-6677-8899-aabbccddeeff"))

RAWS = (b"", b"\0", b"\0\0", b"\xff\xfe", b"\\x00", bytes(range(256)))

NUMBERS: tuple[Number, ...] = (
    *("1", 1, True, Decimal(1), "true", "True", "0", 0, False, Decimal(0), "", "none", -1, "-1"),
    *(Side.LEFT, "left", "LEFT", "Side.LEFT", Side.RIGHT, 2, "RIGHT", "2", Decimal(2)),
    *(UUIDS[2], str(UUIDS[2]), UUIDS[2].hex, UUIDS[2].int, UUIDS[0], UUIDS[1]),
    *(date(2020, 1, 1), "2020-01-01", datetime(2020, 1, 1), "2020-01-01T00:00:00"),
    *(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, 0, 0, 0, 1), date.min, date.max),
    *(datetime.min, datetime.max, datetime.min.replace(tzinfo=UTC)),
    *(datetime.max.replace(tzinfo=UTC), datetime(2020, 1, 1, 1, 30, tzinfo=_OFFSETS[2])),
    *('{"decimal":"1"}', "1.0", Decimal("1.1"), "1.1", Decimal("1.01"), Decimal("1E-30")),
    *(Decimal("1E+40"), "1E+40", 10**40, str(10**40), 10**40 + 1, 2**63, 2**63 - 1, -(2**63) - 1),
    *(2**64, 2**53, 2**53 + 1, 10**3_000, Decimal("1E+1000"), Decimal("-1.5"), -(10**40)),
)
"""Identifiers of which no two are the same."""
