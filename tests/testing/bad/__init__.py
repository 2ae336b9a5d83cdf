"""Bad components: each breaks one rule of the conformance kit, and passes those asked before it."""
