"""Upgrades of a collection's encoder: bridged at once, embedded anew meanwhile, then switched."""
