"""Words, numbers and dates that tell who was measured, found in any spelling, order and capitals."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

MOST = 300  # patterns; whoever has more names is no patient
LONGEST = 4000  # characters that tell a person: of many more the patterns would take hours
MOST_CUTS = 10  # of one text; what then still tells was made to
LETTERS, RUNS = re.compile(r"[^\W\d_]+"), re.compile(r"[^\W\d_]+|\d+")
ACCENTS = "[\u0300-\u036f]*"
SPELLINGS = {"o": "[oø]", "l": "[lł]", "d": "[dđ]", "ss": "(?:ss|ß)", "ae": "(?:ae|æ)"}
PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae"})
PARTICLES = frozenset(("van", "von", "der", "den", "del", "dos", "las", "dr", "prof"))
ANY_DATE = re.compile(
    r"(?<!\d)(?:19|20)\d\d([-./_ ]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?<!\d)\d\d?([-./ ])\d\d?\2(?:19|20)?\d\d(?!\d)"
    r"|(?<!\d)(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])(?:19|20)\d\d(?!\d)"
)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class TooMany(ValueError):
    """More words than a person can be told by."""


class Telltales:
    """What tells a person. Parts of a name are found inside other words from three letters on, shorter ones alone."""

    def __init__(self, names: Iterable[str], dates: Iterable[str], ids: Iterable[str]) -> None:
        names, ids, dates = list(names), list(ids), list(dates)
        if (length := sum(map(len, (*names, *dates, *ids)))) > LONGEST:
            raise TooMany(f"{length} characters tell a person, at most {LONGEST} are looked for")
        patterns = {pattern for name in names for pattern in _of_name(name)}
        patterns |= {pattern for date in dates for pattern in _of_date(date)}
        patterns |= {pattern for each in ids for pattern in _of_id(each)}
        if len(patterns) > MOST:
            raise TooMany(f"{len(patterns)} words tell a person, at most {MOST} are looked for")
        self._numbers = {int(run) for each in ids for run in re.findall(r"\d{4,}", each)}
        longest_first = sorted(patterns, key=len, reverse=True)
        self._pattern = re.compile("|".join(longest_first) or r"(?!)", re.IGNORECASE)

    def are_in(self, text: str) -> bool:
        """Whether a text tells."""
        return self._pattern.search(unicodedata.normalize("NFD", text)) is not None

    def are_number(self, text: str) -> bool:
        """Whether a number is one of a person's, however it is written."""
        try:
            return int(float(text)) in self._numbers or self.are_in(str(int(float(text))))
        except (ValueError, OverflowError):
            return False

    def cut(self, text: str) -> str:
        """Return a text without them; one that tells nothing as it is, and nothing of one that tells all over."""
        for _ in range(MOST_CUTS):  # what was around a word may be one
            if not self.are_in(text):
                return text
            text = unicodedata.normalize("NFC", self._pattern.sub("", unicodedata.normalize("NFD", text)))
        return ""


def _of_name(name: str) -> Iterable[str]:
    for word in LETTERS.findall(unicodedata.normalize("NFC", name)):
        umlauts = re.sub("[äöü]", lambda umlaut: {"ä": "ae", "ö": "oe", "ü": "ue"}[umlaut[0]], word.casefold())
        plain = _plain(word)
        for spelling in {plain, _plain(umlauts), re.sub("([aou])e", r"\1", plain)}:
            is_short = len(spelling) < 3 and spelling.isascii()
            if len(spelling) > 1 or not spelling.isascii():
                yield _alone(_spelled(spelling)) if is_short or spelling in PARTICLES else _spelled(spelling)


def _of_id(each: str) -> Iterable[str]:
    runs = RUNS.findall(each)
    if sum(map(len, runs)) >= 3:
        whole = r"[\W_]*".join(_spelled(_plain(run)) for run in runs)
        yield whole if sum(map(len, runs)) >= 4 else _alone(whole)
    for run in runs:
        if len(run) >= 3:
            yield _alone(_spelled(_plain(run))) if len(run) == 3 or not run.isdigit() else run
        if run.isdigit() and len(run.lstrip("0")) >= 4:
            yield run.lstrip("0")


def _of_date(date: str) -> Iterable[str]:
    """All ways to write a day; its year alone."""
    found = re.match(r"\D*(\d{4})\D?(\d\d?)\D?(\d\d?)(?!\d)", date) or re.match(r"\D*(\d{4})(\d\d)(\d\d)", date)
    if found is None:
        yield from _of_id(date)
        return
    year, month, day = found.groups()
    gap = r"[\W_]?"
    day_, month_, year_ = f"0?{int(day)}", f"0?{int(month)}", f"(?:{year[:2]})?{year[2:]}"
    for order in ((year_, month_, day_), (day_, month_, year_), (month_, day_, year_)):
        yield rf"(?<!\d){gap.join(order)}(?!\d)"
    for order in ((year, month, day), (day, month, year), (month, day, year)):
        yield "".join(part.zfill(2) for part in order)
    if 1 <= int(month) <= 12:
        yield rf"(?<!\d){day_}[\W_]*{MONTHS[int(month) - 1]}[a-z]*[\W_]*{year_}(?!\d)"
        yield rf"{MONTHS[int(month) - 1]}[a-z]*[\W_]*{day_}[\W_]*{year_}(?!\d)"
    yield rf"(?<!\d){year}(?!\d)"


def _plain(word: str) -> str:
    """Small letters without accents."""
    parts = unicodedata.normalize("NFD", word.casefold())
    return "".join(letter for letter in parts if not unicodedata.combining(letter)).translate(PLAIN)


def _spelled(word: str) -> str:
    """A pattern for a word with any accents."""
    letters = re.findall("ss|ae|.", word)
    return "".join(SPELLINGS.get(letter, re.escape(letter)) + ACCENTS for letter in letters)


def _alone(pattern: str) -> str:
    return rf"(?<![^\W\d_]){pattern}(?![^\W\d_])" if not pattern.isdigit() else rf"(?<!\d){pattern}(?!\d)"
