"""Cells of a file that mean "nothing is known"."""

# After blanks around them are taken away; in capitals or not, as programs write them.
MISSING = (
    "",
    "?",
    *("NA", "na", "N/A", "n/a"),
    *("NaN", "nan", "Nan", "NAN"),
    *("NULL", "Null", "null"),
    *("None", "none", "NONE"),
)
