"""PostgreSQL's wire protocol in front of nestvec's SQL."""
