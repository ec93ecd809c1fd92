"""What applies to every request: connection limits, API keys, body limits, the request log."""
