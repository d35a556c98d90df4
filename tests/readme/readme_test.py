#!/usr/bin/python3
"""Does what README.md shows. "From PyTorch to a program": installs the build, extracts the named files and the shell
block, runs them, and checks that there are twenty lines of them at most. "Reading a dump": runs each command, which must
print what is shown and nothing else; a line of ... stands for any lines.

    readme_test.py BUILD-FOLDER
"""

import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


def extract(blocks, place):
    """Write the files that blocks name in their first line; the shell script, after counting all lines."""
    lines, script = 0, ""
    for language, text in blocks:
        if language == "sh":
            script += text
            lines += text.count("\n")
        elif language in ("python", "c"):
            name = re.match(r"(?:# |/\* )(\S+)", text).group(1)
            lines += text.count("\n") - 1  # the line with the file's name does not count
            with open(os.path.join(place, name), "w") as f:
                f.write(text)
    if not 1 <= lines <= 20:
        sys.exit("README.md shows %d lines, not twenty" % lines)
    return script


def check_dump(text, env):
    """A block of a command and of lines that it prints."""
    first, *shown = text.splitlines()
    r = subprocess.run(first[2:], shell=True, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    pattern = "".join("(?:.*\n)*?" if line.strip() == "..." else re.escape(line) + "\n" for line in shown)
    if r.returncode != 0 or not re.fullmatch(pattern, r.stdout):
        sys.exit("%s\nprints something else than README.md shows (status %d):\n%s" % (first, r.returncode, r.stdout))


def main():
    build = os.path.abspath(sys.argv[1])
    with open(os.path.join(ROOT, "README.md")) as f:
        blocks = re.findall(r"^```(\w+)\n(.*?)^```", f.read(), re.M | re.S)
    with tempfile.TemporaryDirectory(prefix="cnnc-readme-") as place:
        script = extract(blocks, place)
        prefix = os.path.join(place, "prefix")
        subprocess.run(["cmake", "--install", build, "--prefix", prefix], check=True, stdout=subprocess.DEVNULL)
        pkgconfig = subprocess.run(["find", prefix, "-name", "pkgconfig"], stdout=subprocess.PIPE, text=True).stdout
        path = os.path.join(prefix, "bin") + ":/usr/bin:" + os.environ["PATH"]
        env = dict(os.environ, PATH=path, PKG_CONFIG_PATH=pkgconfig.strip())
        for language, text in blocks:
            if language == "text":
                check_dump(text, env)
        r = subprocess.run(["sh", "-exc", script], cwd=place, env=env, stdout=subprocess.PIPE, text=True)
        print(r.stdout)
        if r.returncode != 0 or not re.search(r"^9: -?\d", r.stdout, re.M):
            sys.exit("the lines of README.md do not work: status %d" % r.returncode)


if __name__ == "__main__":
    main()
