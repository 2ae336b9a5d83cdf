"""dlplug comes before timm: it sees to a torchvision that does not fit this torch."""

import dlplug  # noqa: F401 - for what its import installs
