"""``python -m benchmarks.accuracy``: how often ``leakguard check`` is right."""

import sys

from benchmarks.accuracy.run import main

sys.exit(main())
