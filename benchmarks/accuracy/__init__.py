"""How often ``leakguard check`` is right: released packages that leak, their mended releases, and healthy applications."""
