"""How often leak tests are wrong: leakguard and its peers on the same callables."""
