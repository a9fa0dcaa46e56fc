"""Schedule expressions of EventBridge: ``rate(5 minutes)``, ``cron(0 12 ? * MON-FRI *)``.

Source: "Schedule expressions" and "Setting a cron schedule pattern for rules", EventBridge User
Guide. Times are UTC.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

_UNITS = {"minute": 60, "hour": 3600, "day": 86400}
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]  # 1 to 7
_YEARS = (1970, 2199)


class BadExpression(ValueError):
    """What EventBridge would not take as a schedule."""


@dataclass(frozen=True)
class Rate:
    seconds: int

    def after(self, moment: datetime) -> datetime | None:
        return moment + timedelta(seconds=self.seconds)


@dataclass(frozen=True)
class Cron:
    """Fields as sets of numbers; the days keep their text, which may depend on the month."""

    minutes: frozenset[int]
    hours: frozenset[int]
    month_days: str
    months: frozenset[int]
    week_days: str
    years: frozenset[int]

    def after(self, moment: datetime) -> datetime | None:
        """The first time later than ``moment``; None where there is none any more."""
        begin = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
        day = begin.date()
        last = date(max(self.years), 12, 31)
        while day <= last:
            if day.year not in self.years:
                following = [year for year in self.years if year > day.year]
                if not following:
                    return None
                day = date(min(following), 1, 1)
                continue
            if day.month in self.months and day.day in self._days(day.year, day.month):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        found = datetime(
                            day.year, day.month, day.day, hour, minute, tzinfo=moment.tzinfo
                        )
                        if found >= begin:
                            return found
            day += timedelta(days=1)
        return None

    def _days(self, year: int, month: int) -> set[int]:
        length = calendar.monthrange(year, month)[1]
        if self.week_days == "?":
            return set(_month_days(self.month_days, year, month, length))
        return set(_week_days(self.week_days, year, month, length))


def parse(expression: str) -> Rate | Cron:
    """Raises BadExpression for what is neither a rate nor a cron expression."""
    if match := re.fullmatch(r"rate\((\d+) (minute|hour|day)(s?)\)", expression.strip()):
        number = int(match[1])
        if number < 1 or (number == 1) == bool(match[3]):
            raise BadExpression(f"{expression}: rate(1 minute), or rate(5 minutes)")
        return Rate(number * _UNITS[match[2]])
    if match := re.fullmatch(r"cron\((.+)\)", expression.strip()):
        return _cron(match[1].upper().split(), expression)
    raise BadExpression(f"{expression} is neither rate(…) nor cron(…)")


def _cron(fields: list[str], expression: str) -> Cron:
    if len(fields) != 6:
        raise BadExpression(f"{expression}: cron has six fields")
    minutes, hours, month_days, months, week_days, years = fields
    if (month_days == "?") == (week_days == "?"):
        raise BadExpression(f"{expression}: one of day-of-month and day-of-week is ?")
    try:
        found = Cron(
            frozenset(_numbers(minutes, 0, 59)),
            frozenset(_numbers(hours, 0, 23)),
            month_days,
            frozenset(_numbers(months, 1, 12, _MONTHS)),
            week_days,
            frozenset(_numbers(years, *_YEARS)),
        )
        found._days(2024, 1)  # raises for what is no day
    except ValueError as error:
        raise BadExpression(f"{expression}: {error}") from error
    return found


def _numbers(field: str, least: int, most: int, names: list[str] | None = None) -> Iterator[int]:
    """``*``, ``5``, ``1-5``, ``0/15``, ``*/5``, ``MON-FRI``, and lists of them."""
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            low, high = least, most
        else:
            low = _number(first, names)
            high = _number(last, names) if last else most if step else low
        if not (least <= low <= most and least <= high <= most) or (step and int(step) < 1):
            raise ValueError(f"{part!r} is not within {least} to {most}")
        numbers = [*range(low, high + 1)]
        if high < low:  # FRI-MON
            numbers = [*range(low, most + 1), *range(least, high + 1)]
        yield from numbers[:: int(step or 1)]


def _number(text: str, names: list[str] | None) -> int:
    if names and text in names:
        return names.index(text) + 1
    if not text.isdecimal():
        raise ValueError(f"{text!r} is no number")
    return int(text)


def _month_days(field: str, year: int, month: int, length: int) -> Iterator[int]:
    for part in field.split(","):
        if part == "L":
            yield length
        elif match := re.fullmatch(r"(\d+|L)W", part):
            yield _nearest_week_day(length if match[1] == "L" else int(match[1]), year, month)
        else:
            yield from (day for day in _numbers(part, 1, 31) if day <= length)


def _nearest_week_day(day: int, year: int, month: int) -> int:
    """Within the month. Monday is 0."""
    length = calendar.monthrange(year, month)[1]
    day = min(day, length)
    week_day = date(year, month, day).weekday()
    if week_day == 5:
        return day - 1 if day > 1 else day + 2
    if week_day == 6:
        return day + 1 if day < length else day - 2
    return day


def _week_days(field: str, year: int, month: int, length: int) -> Iterator[int]:
    def days_of(number: int) -> list[int]:
        """The days of the month that are this day of the week, 1 for Sunday."""
        days = range(1, length + 1)
        return [day for day in days if (date(year, month, day).weekday() + 1) % 7 + 1 == number]

    for part in field.split(","):
        if match := re.fullmatch(r"(\w+)#([1-5])", part):
            found = days_of(_number(match[1], _DAYS))
            yield from found[int(match[2]) - 1 : int(match[2])]
        elif match := re.fullmatch(r"(\w*)L", part):
            yield days_of(_number(match[1] or "7", _DAYS))[-1]
        else:
            for number in set(_numbers(part, 1, 7, _DAYS)):
                yield from days_of(number)
