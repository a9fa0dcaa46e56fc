"""``python -m ci.local.aws_apis PORT``: serves the AWS APIs until it is ended."""

from __future__ import annotations

import sys

from ci.local.aws_apis.server import serve

if __name__ == "__main__":
    serve(int(sys.argv[1]))
