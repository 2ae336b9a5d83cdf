"""A network's parts, by name and by depth, and averages of its weights."""
