"""Read checkpoints: files, layouts, configuration, prompts, tokenizers and weights."""
