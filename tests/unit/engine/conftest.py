import os
import sys

from ci.home import Home

# Where set-up generates BuildKit's protobuf classes.
sys.path.append(str(Home.from_environ(os.environ).root / "python"))
