"""Tests of the kernel plane need a kernel with L2TP: `make test-kernel` boots one, elsewhere they are not collected."""

from __future__ import annotations

import os

from tests.support.planes import has_kernel_plane

# tests/guest/boot.py has them compiled before there is such a kernel.
collect_ignore_glob = [] if has_kernel_plane() or "L2TPD_TEST_COLLECT" in os.environ else ["test_*.py"]
