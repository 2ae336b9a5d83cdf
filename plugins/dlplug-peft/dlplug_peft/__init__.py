"""Adapters of the library peft on any architecture of dlplug, and their merging."""
