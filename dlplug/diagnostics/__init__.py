"""Questions to a training before and around it: rates, sizes, gradients, time, what matters."""
