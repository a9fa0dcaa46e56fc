"""``aws cloudformation package``, run by the tools container with its pinned AWS CLI.

Where a property names no code, as in a SAM function made of an image, the AWS CLI uploads the
whole directory and names that. What is local has been decided before: nothing is invented here.
"""

import sys

from awscli.clidriver import main
from awscli.customizations.cloudformation import artifact_exporter

artifact_exporter.Resource.PACKAGE_NULL_PROPERTY = False
sys.exit(main(["cloudformation", "package", *sys.argv[1:]]))
