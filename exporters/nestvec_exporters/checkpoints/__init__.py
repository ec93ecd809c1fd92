"""Reading checkpoints: their files, layouts, configuration, prompts, tokenizers and weights."""
