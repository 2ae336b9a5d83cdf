"""What stands where there is nothing: padding among tokens, and targets that do not count."""

# The first tokens of every vocabulary: behind the end of a text, and in the place of what the
# vocabulary lacks.
PADDING, UNKNOWN = 0, 1
# Target of a record, position or pixel that neither a loss nor a metric counts; torch's own number.
IGNORED = -100
