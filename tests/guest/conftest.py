"""Tests of the kernel plane need a kernel with L2TP: `make test-kernel` boots one, elsewhere they are not collected."""

from __future__ import annotations

from tests.support.planes import has_kernel_plane

collect_ignore_glob = [] if has_kernel_plane() else ["test_*.py"]
