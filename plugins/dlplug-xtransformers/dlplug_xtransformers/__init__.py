"""The transformers of x-transformers as architectures."""
