"""The pinned AWS CLI of the tools container, which packages nothing but what a template names.

Where a property names no code, as in a SAM function made of an image, `aws cloudformation package`
uploads the whole directory and names that. What is local has been decided before it is called.
"""

import sys

from awscli.clidriver import main
from awscli.customizations.cloudformation import artifact_exporter

artifact_exporter.Resource.PACKAGE_NULL_PROPERTY = False
sys.exit(main())
