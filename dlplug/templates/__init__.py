"""Plugins to start from: the files that ``dlplug new`` fills in, and who does it.

``common/`` holds what every plugin has, the other folders what one of their kind has besides.
``PACKAGE`` in a path and ``${...}`` in a text stand for the new plugin's names.
"""
