"""Make checkpoints: a base from scratch, a source per locale, and the embedded models that need no download."""
