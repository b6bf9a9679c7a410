"""How a worker is replaced under each server: one module per server, one protocol for all."""
