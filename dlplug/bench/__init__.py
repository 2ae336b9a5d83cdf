"""Times of the fused ops beside what PyTorch's users run in their place. Needs torch alone."""
