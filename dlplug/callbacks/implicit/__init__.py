"""Callbacks that every run has; no config names them."""
