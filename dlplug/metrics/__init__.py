"""Built-in metrics, thin classes over torchmetrics."""
