"""An architecture, a loss and a callback that know nothing of dlplug."""
