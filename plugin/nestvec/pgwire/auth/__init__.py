"""Who may connect: SCRAM-SHA-256, with a user's password or the service's API keys."""
