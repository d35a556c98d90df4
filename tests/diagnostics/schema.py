#!/usr/bin/env python3
"""Validates examples and faulty files against docs/model.schema.json and docs/recipe.schema.json: the examples must pass,
and what has a fault that a schema can see must not: the cases listed here, and the recipes of recipe_faults.py. Skipped
(77) without python3-jsonschema."""
import glob
import json
import os
import sys

try:
    import jsonschema
except ImportError:
    sys.exit(77)

import recipe_faults

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REFUSED = ["bad-name", "missing-key", "model-format", "out-of-range", "unknown-key", "unknown-layer", "unsupported-argument", "wrong-type"]


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def schema(name):
    read = load(os.path.join(ROOT, f"docs/{name}.schema.json"))
    jsonschema.Draft202012Validator.check_schema(read)
    return jsonschema.Draft202012Validator(read)


def check_examples(validators):
    failed = 0
    for path in sorted(glob.glob(os.path.join(ROOT, "examples/*/*.json"))):
        example = load(path)
        kind = str(example.get("format", "")).split("/")[0]
        for error in validators[kind].iter_errors(example) if kind in validators else ():
            failed += 1
            print(f"FAIL {path}: {error.message}")
    return failed


def check_faults(validators):
    faulty = [(name, "cnnc-model", load(os.path.join(ROOT, "tests/diagnostics/cases", name, "model.json")), True) for name in REFUSED]
    for body, *_, seen in recipe_faults.FAULTS:
        faulty.append((body, "cnnc-recipe", json.loads(recipe_faults.text(body)), seen))
    failed = 0
    for name, kind, value, seen in faulty:
        if validators[kind].is_valid(value) == seen:
            failed += 1
            print(f"FAIL {name}: the schema {'accepts' if seen else 'refuses'} it")
    return failed


def main():
    validators = {"cnnc-model": schema("model"), "cnnc-recipe": schema("recipe")}
    return 1 if check_examples(validators) + check_faults(validators) else 0


if __name__ == "__main__":
    sys.exit(main())
