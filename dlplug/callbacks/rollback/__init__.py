"""What going back before a spike of the loss consists of."""
