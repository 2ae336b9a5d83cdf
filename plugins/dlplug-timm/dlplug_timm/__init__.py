"""Every image model of timm by name. Importing this package imports neither timm nor torch."""
