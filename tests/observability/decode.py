"""Prints a YAML file as JSON.

Run by the interpreter of `.tools/cloudformation`, which has a YAML reader; see `shipped.py`.
"""

import json
import sys
from pathlib import Path

import yaml  # type: ignore[import-untyped,import-not-found,unused-ignore] # is there only

json.dump(yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.stdout)
