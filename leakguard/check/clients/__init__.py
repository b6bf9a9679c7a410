"""Clients in the process: each speaks one interface as a server does."""
