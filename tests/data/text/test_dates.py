"""dates: the forms, and that the pairs are the same in every run."""

from datetime import date

import pytest

from dlplug.data.text.dates import DAYS, FORMS, MONTHS, Dates, written
from dlplug.errors import InvalidValueError


def test_a_date_in_each_language():
    """Names, order and divider as they are used there."""
    day = date(1987, 3, 4)
    assert written(day, "en", "%W, %M %d, %y") == "Wednesday, March 4, 1987"
    assert written(day, "en", "%m/%d/%y") == "3/4/1987"
    assert written(day, "de", "den %d. %B. %y") == "den 4. Mär. 1987"
    assert written(day, "fr", "le %d %M %y") == "le 4 mars 1987"
    assert written(day, "es", "%W, %d de %M de %y") == "miércoles, 4 de marzo de 1987"


def test_all_names_are_there():
    """Twelve months and seven days, in each language that has forms."""
    assert {len(MONTHS[language].split()) for language in FORMS} == {12}
    assert {len(DAYS[language].split()) for language in FORMS} == {7}


def test_the_pairs_are_different_and_always_the_same():
    """No source occurs twice, so no test source is in the training."""
    pairs, places, _ = Dates(500).read_pairs()
    assert pairs == Dates(500).read_pairs()[0]
    assert len({source for source, _ in pairs}) == len(pairs) == len(places) == 500
    assert all(date.fromisoformat(target) for _, target in pairs)


def test_sizes_out_of_range():
    """The error names it."""
    with pytest.raises(InvalidValueError, match="data dates: size = 5"):
        Dates(5)
