"""Networks and losses of MONAI; nothing of it is imported before one is named."""
