"""Where ``DLPLUG_SANITIZE`` puts what it builds."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "sanitize"
LIBRARIES = BUILD / "libraries"
CURRENT_TEST = BUILD / "current_test"
