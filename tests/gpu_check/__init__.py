"""What only a machine with an NVIDIA GPU can tell; see `tests.gpu_check.__main__`."""
