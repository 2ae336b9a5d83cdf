"""Faults injected into trainings: each module injects one kind and tells what was contained."""
