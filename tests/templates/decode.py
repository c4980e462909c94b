"""Prints a CloudFormation template as JSON, its short tags written out (`!Ref X` is a map).

Run by the interpreter of `.tools/cloudformation`, which has cfn-lint; see `loading.py`.
"""

import json
import sys

from cfnlint.decode import (  # type: ignore[import-not-found] # is in the linters' environment only
    cfn_yaml,
)

json.dump(cfn_yaml.load(sys.argv[1]), sys.stdout)
