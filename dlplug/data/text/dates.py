"""Dates as people write them in four languages, and in ISO 8601."""

from datetime import date, timedelta

import numpy as np

from dlplug.data.text.pairs import PairData
from dlplug.errors import InvalidValueError

MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre"
    " diciembre",
}
DAYS = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "de": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "es": "lunes martes miércoles jueves viernes sábado domingo",
}
# Day, month and year are written as numbers; %M, %B, %W: month, its first three letters, weekday.
# No form can be read in two ways: slashes put the month first, as in America, points the day.
FORMS = {
    "en": ["%W, %M %d, %y", "%M %d %y", "%d %B %y", "%m/%d/%y", "the %d of %M, %y", "%B %d, %y"],
    "de": ["%W, %d. %M %y", "%d. %M %y", "%d.%m.%y", "den %d. %B. %y"],
    "fr": ["%W %d %M %y", "le %d %M %y", "%d %M %y"],
    "es": ["%W, %d de %M de %y", "%d de %M de %y"],
}
FIRST, DAYS_IN_ALL = date(1900, 1, 1), 73049  # up to 2099


class Dates(PairData):
    """Pairs such as ``le 4 mars 1987`` and ``1987-03-04``, drawn at random, no source twice.

    English, German, French and Spanish, 15 forms, of any day from 1900 to 2099. The names of the
    months must be known, the order of the parts recognised by the form, and the weekday ignored.

    Args:
        size: Number of pairs.
        tokenizer, vocab_size, sequence_length, loading: See `PairData`.
    Raises:
        InvalidValueError: ``size`` is not in 10 ... 100,000.
    """

    def __init__(
        self,
        size: int = 5000,
        tokenizer: str = "character",
        vocab_size: int | None = None,
        sequence_length: int = 40,
        **loading,
    ):
        super().__init__(tokenizer, vocab_size, sequence_length, **loading)
        if not 10 <= size <= 100_000:
            raise InvalidValueError(f"data dates: size = {size}", known="10 to 100,000 pairs")
        self.size = size

    def read_pairs(self) -> tuple[list[tuple[str, str]], list[str], None]:
        """The same pairs for the same size, in every run."""
        random = np.random.RandomState(0)
        forms = [(language, form) for language in FORMS for form in FORMS[language]]
        pairs: dict[str, str] = {}
        while len(pairs) < self.size:
            day = FIRST + timedelta(days=int(random.randint(DAYS_IN_ALL)))
            pairs[written(day, *forms[random.randint(len(forms))])] = day.isoformat()
        return list(pairs.items()), [f"data dates, pair {i}" for i in range(self.size)], None


def written(day: date, language: str, form: str) -> str:
    """The day in one of `FORMS`."""
    month = MONTHS[language].split()[day.month - 1]
    parts = {
        "%W": DAYS[language].split()[day.weekday()],
        "%M": month,
        "%B": month[:3],
        "%d": str(day.day),
        "%m": str(day.month),
        "%y": str(day.year),
    }
    for key, value in parts.items():
        form = form.replace(key, value)
    return form
