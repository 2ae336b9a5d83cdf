"""From text to tokens: tokenizers, and data sets of windows and of padded records."""
