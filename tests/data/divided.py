"""Ten records to divide by column, group and time, and what comes out: worked out by hand."""

SPLITS = ("train", "validation", "test")
# Days of January: 9 and 10 are the test's 20 %, 8 is the 10 % of the validation.
DAYS = (4, 10, 1, 6, 2, 8, 3, 9, 5, 7)
# A hash places a and b at 0.62 and 0.88 of the way, h at 0.09 and r at 0.21, with the seed 0.
VALUES = {
    "column": [
        "train",
        "val",
        "test",
        "training",
        "dev",
        "train",
        "Test",
        "train",
        "train",
        "train",
    ],
    "group": ["a", "h", "r", "b", "a", "h", "b", "r", "a", "b"],
    "time": [f"2024-01-{day:02}" for day in DAYS],
}
EXPECTED = {
    "column": {"train": [0, 3, 5, 7, 8, 9], "validation": [1, 4], "test": [2, 6]},
    "group": {"train": [0, 3, 4, 6, 8, 9], "validation": [1, 5], "test": [2, 7]},
    "time": {"train": [0, 2, 3, 4, 6, 8, 9], "validation": [5], "test": [1, 7]},
}


def positions(data, of=lambda dataset: dataset.indices.tolist()):
    """Which records each split has.

    Args:
        data: A data module.
        of: Gives those of one data set.
    """
    data.setup("test")
    return {name: of(data.split(name)) for name in SPLITS}
