#!/usr/bin/env python3
"""Recipes against their reader: each fault is told at its place, in its words; and the reader knows the very keys and limits
that docs/recipe.schema.json has, in every form of every object.

    recipe_test.py CNNC
"""
import json
import os
import re
import subprocess
import sys
import tempfile

import recipe_faults

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MOST = 15  # faults in one recipe; of more than 20 only the first are told


def read(cnnc, folder, text):
    """What cnnc says of a recipe. It is read before the model, which is not there."""
    with open(os.path.join(folder, "r.json"), "w", encoding="utf-8") as f:
        f.write(text)
    done = subprocess.run([cnnc, "no.json", "--train", "-r", "r.json"], cwd=folder, capture_output=True, text=True, timeout=60)
    return done.stderr.replace("no.json: error: cannot read the file: No such file or directory [file-read]\n", "", 1)


def check_faults(cnnc, folder):
    failed = 0
    for body, place, pointer, says, hint, _ in recipe_faults.FAULTS:
        got = read(cnnc, folder, recipe_faults.text(body))
        want = f"r.json:{place}: error: {pointer}{': ' if pointer else ''}{says}"
        first, _, rest = got.partition("\n")
        if not first.startswith(want) or "error" in rest or (hint and hint not in rest):
            failed += 1
            print(f"FAIL {body}\n  expected {want} ({hint})\n  got {got}")
    return failed


# ---- Keys ----

def forms(schema):
    """(path to an object in a recipe, its schema) for each form of each."""
    top = schema["properties"]
    yield (), schema
    for key, part in top.items():
        items = part.get("items", part)
        for form in [items] if "properties" in items else items.get("oneOf", []):
            if "properties" in form:
                yield (key, 0) if "items" in part else (key,), form


def filled(form, path, members):
    """A recipe with the object at `path`: what it needs, and `members`."""
    own = {k: v.get("const", "x") for k, v in form["properties"].items() if k in form["required"]}
    own.update(members)
    if not path:
        return own
    value = [own] if len(path) > 1 else own
    with_momentum = {"optimizer": "SGD"} if path[0] == "groups" else {}  # what a group may have depends on it
    return {"format": "cnnc-recipe/1", path[0]: value, **with_momentum}


def unknown(said):
    return set(re.findall(r' has no "(\w+)" \[unknown-key\]', said))


def keys_of_reader():
    """All names in its tables, whatever the object."""
    names = set()
    folder = os.path.join(ROOT, "frontend")
    for file in os.listdir(folder):
        if file.startswith("recipe") and file.endswith(".c"):
            with open(os.path.join(folder, file), encoding="utf-8") as f:
                source = f.read()
            names |= set(re.findall(r'\{"(\w+)",\s*FIELD_', source))
            names |= set(re.findall(r'RATE\("(\w+)"', source))
            names |= set(re.findall(r"\b(?:LIST|NEED)\((\w+), -?[0-9]", source))
    return names


def numbers(form):
    """{key: (lowest, highest, whole)} for the numbers of an object, also where lists of them will do."""
    found = {}
    for key, part in form["properties"].items():
        for one in part.get("oneOf", [part]):
            one = one.get("items", one)
            if one.get("type") in ("number", "integer"):
                whole = one["type"] == "integer"
                far = 2.0**53 - 1 if whole else 1e300
                found[key] = (one.get("minimum", -far), one.get("maximum", far), whole)
                break
    return found


def out_of_range(cnnc, folder, form, path, values):
    members = {k: [v] if form["properties"][k].get("type") == "array" else v for k, v in values.items()}
    said = read(cnnc, folder, json.dumps(filled(form, path, members)))
    return set(re.findall(r"error: \S+: (\w+) is \S+; it must be from", said))


def check_limits(cnnc, folder, schema):
    """At its limits a number is read, beyond them it is refused."""
    failed = 0
    for path, form in forms(schema):
        for side, beyond in ((0, lambda x: x - abs(x) - 1), (1, lambda x: x + abs(x) + 1)):
            limits = {k: (int if v[2] else float)(v[side]) for k, v in numbers(form).items()}
            outside = {k: beyond(v) for k, v in limits.items() if abs(v) < 2**53 - 1 or 2.0**53 <= abs(v) < 1e300}
            wrong = out_of_range(cnnc, folder, form, path, limits)
            wrong |= out_of_range(cnnc, folder, form, path, outside) ^ set(outside)
            if wrong:
                failed += 1
                print(f"FAIL {path} {form['properties'].get('type')}: limits differ: {sorted(wrong)}")
    return failed


def check_keys(cnnc, folder, schema):
    every = set()
    for _, form in forms(schema):
        every |= set(form["properties"])
    reader = keys_of_reader() | {"type"}
    if every != reader:
        print(f"FAIL only the schema or only the reader has: {sorted(every ^ reader)}")
        return 1
    failed = 0
    for path, form in forms(schema):
        names = sorted(every - set(form["required"]))
        refused = set()
        for i in range(0, len(names), MOST):
            members = {name: {} for name in names[i:i + MOST]}
            refused |= unknown(read(cnnc, folder, json.dumps(filled(form, path, members))))
        wrong = refused ^ (set(names) - set(form["properties"]))
        if wrong:
            failed += 1
            print(f"FAIL {path} {form['properties'].get('type')}: schema and reader differ on {sorted(wrong)}")
    return failed


def main():
    cnnc = os.path.abspath(sys.argv[1])
    with open(os.path.join(ROOT, "docs/recipe.schema.json"), encoding="utf-8") as f:
        schema = json.load(f)
    with tempfile.TemporaryDirectory() as folder:
        good = read(cnnc, folder, recipe_faults.text('"epochs": 2'))
        failed = check_faults(cnnc, folder) + check_keys(cnnc, folder, schema) + check_limits(cnnc, folder, schema)
    if good:
        failed += 1
        print(f"FAIL a sound recipe: {good}")
    print(f"{len(recipe_faults.FAULTS)} faulty recipes, {failed} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
