#!/usr/bin/python3
"""Applications built against an installed copy of cnnc in a clean root: CMake's package, pkg-config, the Debian
packages, and cnnc as a subdirectory. Standard library only.

    package_test.py CASE BUILD_DIR      the names of the cases are the functions below
"""

import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
APP = pathlib.Path(__file__).resolve().parent / "app"
BUILD = pathlib.Path(sys.argv[2]).resolve()
# What a user's own environment could add is not there: the root alone must do.
CLEAN = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}


def run(*command, check=True, **env):
    r = subprocess.run([str(c) for c in command], env={**CLEAN, **env}, capture_output=True, text=True)
    if check and r.returncode != 0:
        sys.exit("%s\nexit status %d\n%s%s" % (" ".join(map(str, command)), r.returncode, r.stdout, r.stderr))
    return r


def expect(condition, message):
    if not condition:
        sys.exit("FAILED: " + message)


def install(root):
    run("cmake", "--install", BUILD, "--prefix", root)
    return root


def check_apps(folder):
    """They run, and a data set that is not there is reported by the library that was linked."""
    r = run(folder / "classify")
    expect("accuracy: 91." in r.stdout, "classify said:\n" + r.stdout + r.stderr)
    r = run(folder / "train_fit", folder / "nowhere", check=False)
    expect(r.returncode == 1 and "nowhere" in r.stderr, "train_fit said:\n" + r.stdout + r.stderr)


def build_with_cmake(dir, *options):
    run("cmake", "-S", APP, "-B", dir, "-G", "Ninja", "-DEXAMPLES=%s" % EXAMPLES, *options)
    run("cmake", "--build", dir)
    check_apps(dir)


def cmake(dir):
    """find_package and cnnc_add_model; a changed model is compiled again, an unchanged one is not."""
    root = install(dir / "root")
    app = dir / "app"
    build_with_cmake(app, "-DCMAKE_PREFIX_PATH=%s" % root)
    expect("no work to do" in run("cmake", "--build", app).stdout, "a second build does something")
    os.utime(app / "lenet5.safetensors")
    out = run("cmake", "--build", app).stdout
    expect("Compiling model lenet5" in out and "simplecnn" not in out, "after a change of the weights:\n" + out)
    r = run("cmake", "-S", APP, "-B", dir / "none", "-DEXAMPLES=%s" % EXAMPLES, check=False)
    expect(r.returncode != 0 and "cnncConfig.cmake" in r.stderr, "found a package outside of the root")


def components(dir):
    """A component that is not there, or was not asked for, is an error that names it."""
    root = install(dir / "root")
    (dir / "x.c").write_text("int main(void) { return 0; }\n")
    for asked, option, needs in [("compiler cnnrt", "TRAIN", "cnnrt-train"), ("compiler", "", "cnnrt")]:
        (dir / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.21)\nproject(x C)\n"
                                            "find_package(cnnc REQUIRED COMPONENTS %s)\nadd_executable(x x.c)\n"
                                            "cnnc_add_model(x x.json %s)\n" % (asked, option))
        r = run("cmake", "-S", dir, "-B", dir / "build", "-DCMAKE_PREFIX_PATH=%s" % root, check=False)
        words = 'the component "%s" was not asked for: find_package(cnnc REQUIRED COMPONENTS compiler %s)' % (needs, needs)
        expect(r.returncode != 0 and words in " ".join(r.stderr.split()), "%s:\n%s" % (asked, r.stderr))
    for name, words in [("cnnrt-vision", "has no component"), ("compiler", "is not installed")]:
        (dir / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.21)\nproject(x C)\n"
                                            "find_package(cnnc REQUIRED COMPONENTS %s)\n" % name)
        if name == "compiler":
            (root / "lib/cmake/cnnc/compiler-targets.cmake").unlink()
        r = run("cmake", "-S", dir, "-B", dir / "build", "-DCMAKE_PREFIX_PATH=%s" % root, check=False)
        expect(r.returncode != 0 and words in " ".join(r.stderr.split()), "%s:\n%s" % (name, r.stderr))


def subdirectory(dir):
    """The runtime as a part of the application's own build, with a compiler that is named."""
    build_with_cmake(dir / "app", "-DCNNC_SOURCE=%s" % ROOT, "-DCNNC_COMPILER=OFF", "-DCNNC_EXECUTABLE=%s" % (BUILD / "cnnc"))


def with_pkg_config(dir, root):
    """Compile, link, run by hand. `root` has bin/cnnc and the pkg-config files."""
    config = next(root.glob("lib/**/pkgconfig"))
    flags = {}
    for what in ["--cflags", "--libs"]:
        flags[what] = run("pkg-config", what, "cnnrt-train", "cnnrt-data", PKG_CONFIG_LIBDIR=str(config) + ":"
                          + "/usr/lib/%s/pkgconfig" % run("cc", "-print-multiarch").stdout.strip()).stdout.split()
    for name, program, options in [("lenet5", "classify", []),
                                   ("simplecnn", "train_fit", ["--train", "--init-seed=1", "--recipe",
                                                               EXAMPLES / "simplecnn/adam.json"])]:
        run(root / "bin/cnnc", EXAMPLES / name / (name + ".json"), *options, "-o", dir / (name + ".o"))
        run("cc", "-I%s" % dir, *flags["--cflags"], EXAMPLES / name / (program + ".c"), dir / (name + ".o"),
            *flags["--libs"], "-o", dir / program)
    check_apps(dir)


def pkg_config(dir):
    with_pkg_config(dir, install(dir / "root"))


def deb(dir):
    """Both packages by CPack, unpacked into one root; what they depend on is named."""
    run("cpack", "--config", BUILD / "CPackConfig.cmake", "-G", "DEB", "-B", dir / "pack")
    depends = {}
    for package in (dir / "pack").glob("*.deb"):
        run("dpkg-deb", "-x", package, dir / "root")
        field = lambda name: run("dpkg-deb", "-f", package, name).stdout.strip()
        depends[field("Package")] = field("Depends")
        expect(field("Version") == "0.1.0" and field("Description"), "fields of %s" % package)
    expect(set(depends) == {"cnnc", "libcnnrt-dev"}, "the packages are %s" % list(depends))
    for name, needs in [("cnnc", ["libc6", "libllvm19", "libcjson1"]), ("libcnnrt-dev", ["zlib1g-dev", "libpng-dev"])]:
        for need in needs:
            expect(need in depends[name], "%s depends on %s" % (name, depends[name]))
    with_pkg_config(dir, dir / "root/usr")
    build_with_cmake(dir / "app", "-DCMAKE_PREFIX_PATH=%s" % (dir / "root/usr"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="cnnc-package-") as folder:
        globals()[sys.argv[1]](pathlib.Path(folder))
