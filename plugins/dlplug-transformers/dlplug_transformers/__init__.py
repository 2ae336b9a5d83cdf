"""Networks of the library transformers as architectures of dlplug."""
