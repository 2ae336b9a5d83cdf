"""Train from a config in as many processes as it says; Lightning starts this file again for each.

Usage: fit_script.py ROOT CONFIG [KEY=VALUE ...], as `python -m dlplug fit` does it.
"""

import json
import sys

from dlplug import config
from dlplug.run import verbs


def main(root: str, path: str, *overrides: str) -> None:
    experiment = config.load([path], [tuple(o.split("=", 1)) for o in overrides])
    result = verbs.fit(experiment, root=root, resume="auto", progress=False)
    if result.is_main:
        print(json.dumps(result.to_dict()))


if __name__ == "__main__":
    main(*sys.argv[1:])
