"""Notes: what is logged below ``dlplug`` while a command runs is seen."""

import logging
from pathlib import Path

from dlplug.cli.notes import shown_notes


def test_notes_are_shown_only_meanwhile(capsys):
    """From INFO on; other libraries' are not, and afterwards everything is as before."""
    logger = logging.getLogger("dlplug.test_notes")
    with shown_notes():
        logger.info("said %d", 1)
        logger.debug("whispered")
        logging.getLogger("another").info("strange")
    logger.info("afterwards")
    assert capsys.readouterr().err == "said 1\n"
    assert logging.getLogger("dlplug").handlers == []


def test_fit_says_once_what_the_step_takes_over(command):
    """Clipping, and the averages of a callback."""
    config = str(Path(__file__).parents[2] / "configs" / "mnist_vit.yaml")
    few = "--trainer.limit_{}_batches"
    done = command(
        "fit", "--config", config, "--trainer.max_epochs", "2",
        *(word for split in ("train", "val", "test") for word in (few.format(split), "1")),
    )  # fmt: skip
    lines = [line for line in done.err.splitlines() if "optimizer's step" in line]
    assert len(lines) == 2 and lines[0].startswith("ema: ") and "clips" in lines[1]
