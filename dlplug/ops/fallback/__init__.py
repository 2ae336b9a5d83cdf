"""The ops in plain PyTorch: the fallback where no kernel is compiled, and the tests' reference."""
