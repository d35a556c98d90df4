#!/usr/bin/env python3
"""Validates the examples and the diagnostic cases against docs/model.schema.json: the examples must pass, and the
cases listed here, whose fault is one a schema can see, must not. Skipped (77) without python3-jsonschema."""
import glob
import json
import os
import sys

try:
    import jsonschema
except ImportError:
    sys.exit(77)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REFUSED = ["bad-name", "missing-key", "model-format", "out-of-range", "unknown-key", "unknown-layer", "unsupported-argument", "wrong-type"]


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def main():
    schema = load(os.path.join(ROOT, "docs/model.schema.json"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    failed = 0
    for path in sorted(glob.glob(os.path.join(ROOT, "examples/*/*.json"))):
        model = load(path)
        if not str(model.get("format", "")).startswith("cnnc-model/"):
            continue
        for error in validator.iter_errors(model):
            failed += 1
            print(f"FAIL {path}: {error.message}")
    for name in REFUSED:
        if validator.is_valid(load(os.path.join(ROOT, "tests/diagnostics/cases", name, "model.json"))):
            failed += 1
            print(f"FAIL {name}: the schema accepts it")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
