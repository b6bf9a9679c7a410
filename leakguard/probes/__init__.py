"""Probes read one thing each and hold no opinion: process memory, limits, the C heap, collector pauses, requests, failures."""
