#!/usr/bin/env python3
"""cnnc train on small data, driven from outside.

  train_test.py CNNC [unittest's arguments]
"""
import json
import os
import pathlib
import pty
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import samples

CNNC = str(pathlib.Path(sys.argv.pop(1)).resolve())
INTERRUPTED = 130
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it would be ignored
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)


class Base(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        self.json("net.json", samples.model())

    def json(self, name, value):
        (self.dir / name).write_text(json.dumps(value))
        return name

    def recipe(self, name="r.json", **keys):
        return self.json(name, {"format": "cnnc-recipe/1", "batch_size": 16, "epochs": 3, "seed": 1, **keys})

    def command(self, *args, model="net.json", data="idx"):
        return [CNNC, "train", model, "--data", str(data), *args]

    def train(self, *args, status=0, model="net.json", data="idx", **more):
        r = subprocess.run(self.command(*args, model=model, data=data), cwd=self.dir, capture_output=True, text=True,
                           timeout=120, **more)
        self.assertEqual(r.returncode, status, f"{args}\n{r.stdout}{r.stderr}")
        return r

    def begin(self, *args, **more):
        null = subprocess.DEVNULL
        return subprocess.Popen(self.command(*args, **more), cwd=self.dir, stdin=null, stdout=null, stderr=null)

    def bytes(self, name):
        return (self.dir / name).read_bytes()

    def log(self, name="l.jsonl"):
        return [json.loads(line) for line in (self.dir / name).read_text().splitlines()]

    def wait_until(self, condition, pause=0.001):
        end = time.monotonic() + 60
        while not condition() and time.monotonic() < end:
            time.sleep(pause)

    def wait_for_log(self, process, size):
        """Until the log is longer than `size` bytes, or the process has ended."""
        self.wait_until(lambda: process.poll() is not None or self.log_size() > size)

    def log_size(self):
        path = self.dir / "l.jsonl"
        return path.stat().st_size if path.exists() else 0


class Resume(Base):
    def setUp(self):
        super().setUp()
        samples.write_idx(self.dir / "idx")

    def test_after_each_epoch(self):
        """Stopped after every epoch and resumed, for several numbers of threads: the bytes of one run."""
        recipe = self.recipe(optimizer={"type": "Adam", "lr": 3e-3}, schedule={"type": "StepLR", "step_size": 2},
                             augmentation=[{"type": "RandomCrop", "size": [10, 8], "padding": 1}])
        self.train("-r", recipe, "-s", "whole.safetensors", "--threads", "1")
        for threads in ("1", "2", "5"):
            for epoch in ("1", "2", "3"):
                self.train("-r", recipe, "--epochs", epoch, "-s", "w.safetensors", "--checkpoint", f"c{threads}.safetensors",
                           "--resume", "--threads", threads)
            self.assertEqual(self.bytes("w.safetensors"), self.bytes("whole.safetensors"), threads)
        for weights in ("c1.safetensors", "w.safetensors"):
            subprocess.run([CNNC, "net.json", "-w", weights, "-q", "-o", weights + ".o"], cwd=self.dir, check=True)
        self.assertEqual(self.bytes("c1.safetensors.o"), self.bytes("w.safetensors.o"), "a checkpoint is weights too")

    def test_options_of_the_run(self):
        """Momentum, accumulation, clipping, groups, OneCycleLR, warm-up, early stopping: all of it is in a checkpoint."""
        recipe = self.recipe(optimizer={"type": "SGD", "lr": 0.05, "momentum": 0.9}, accumulate=3, validation=0.2,
                             clip={"type": "norm", "max_norm": 1}, groups=[{"params": "fc", "lr": 0.01}],
                             schedule={"type": "OneCycleLR", "max_lr": 0.1}, warmup={"steps": 5},
                             early_stopping={"patience": 2, "monitor": "val_loss"}, epochs=4)
        self.train("-r", recipe, "-s", "whole.safetensors")
        for size in (6000, 12000):
            p = self.begin("-r", recipe, "-s", "w.safetensors", "--checkpoint", "c.safetensors", "--resume", "--log", "l.jsonl")
            self.wait_for_log(p, self.log_size() + size // 10)
            p.send_signal(signal.SIGINT)
            self.assertIn(p.wait(60), (0, INTERRUPTED))
        self.train("-r", recipe, "-s", "w.safetensors", "--checkpoint", "c.safetensors", "--resume")
        self.assertEqual(self.bytes("w.safetensors"), self.bytes("whole.safetensors"))

    def test_interrupt(self):
        """Ctrl-C amid an epoch saves, stops, and says so; resuming gives the same bytes."""
        samples.write_idx(self.dir / "idx", train=600)
        recipe = self.recipe(batch_size=2, epochs=6)
        self.train("-r", recipe, "-s", "whole.safetensors", "--threads", "2")
        amid = 0
        for _ in range(4):
            before = self.log_size()
            p = self.begin("-r", recipe, "--checkpoint", "c.safetensors", "--resume", "--log", "l.jsonl", "--threads", "2")
            self.wait_for_log(p, before + 1500)
            p.send_signal(signal.SIGINT)
            self.assertIn(p.wait(60), (0, INTERRUPTED))
            stop = self.log()[-1]
            self.assertEqual(stop["event"], "stop")
            self.assertTrue((self.dir / "c.safetensors").exists())
            amid += stop["step"] % 300 != 0
        self.assertGreater(amid, 0)
        self.train("-r", recipe, "-s", "w.safetensors", "--checkpoint", "c.safetensors", "--resume", "--threads", "5")
        self.assertEqual(self.bytes("w.safetensors"), self.bytes("whole.safetensors"))

    def test_other_signals(self):
        """SIGTERM and SIGHUP stop as Ctrl-C does, with their own status."""
        samples.write_idx(self.dir / "idx", train=600)
        recipe = self.recipe(batch_size=2, epochs=200)
        for number in (signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number=number):
                p = self.begin("-r", recipe, "--checkpoint", "c.safetensors", "-s", "w.safetensors", "--log", "l.jsonl")
                self.wait_for_log(p, self.log_size() + 1500)
                p.send_signal(number)
                self.assertEqual(p.wait(60), 128 + number)
                self.assertEqual(self.log()[-1]["event"], "stop")
                for name in ("c.safetensors", "w.safetensors"):
                    (self.dir / name).unlink()

    def test_ignored(self):
        """What the run was started to ignore, as by nohup, does not stop it."""
        recipe = self.recipe(batch_size=2, epochs=10)
        p = subprocess.Popen(self.command("-r", recipe, "-q", "--log", "l.jsonl"), cwd=self.dir, stdin=subprocess.DEVNULL,
                             preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        self.wait_for_log(p, 500)
        p.send_signal(signal.SIGHUP)
        self.assertEqual(p.wait(60), 0)
        self.assertEqual(self.log()[-1]["epoch"], 10)

    def test_interrupt_of_the_report(self):
        """When all is trained, Ctrl-C costs nothing any more; a second one still kills."""
        recipe = self.recipe(epochs=1)
        for times, status in ((1, 0), (2, -signal.SIGINT)):
            reader, writer = os.pipe()
            os.set_blocking(writer, False)
            try:
                while os.write(writer, bytes(4096)):
                    pass
            except BlockingIOError:
                os.set_blocking(writer, True)  # full: the report waits
            p = subprocess.Popen(self.command("-r", recipe, "-s", "w.safetensors"), cwd=self.dir, stdout=writer,
                                 stderr=subprocess.DEVNULL)
            os.close(writer)
            self.wait_until(lambda: (self.dir / "w.safetensors").exists())
            for _ in range(times):
                p.send_signal(signal.SIGINT)
                time.sleep(0.1)
            with os.fdopen(reader, "rb") as pipe:
                report = pipe.read().lstrip(b"\0")
            self.assertEqual(p.wait(60), status)
            self.assertEqual(b"weights: w.safetensors" in report, status == 0)
            (self.dir / "w.safetensors").unlink()

    def test_report_of_an_interrupt(self):
        """Weights of no epoch's end are called by their step."""
        samples.write_idx(self.dir / "idx", train=600)
        recipe = self.recipe(batch_size=1, epochs=1000)
        p = subprocess.Popen(self.command("-r", recipe, "--log", "l.jsonl", "-s", "w.safetensors"), cwd=self.dir, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.wait_for_log(p, 3000)
        p.send_signal(signal.SIGINT)
        out = p.communicate(timeout=60)[0]
        self.assertEqual(p.returncode, INTERRUPTED)
        stop = self.log()[-1]
        amid = f'these are the weights of step {stop["step"]}, amid epoch {stop["epoch"] + 1}\nweights: w.safetensors\n'
        self.assertEqual(out.endswith(amid), stop["step"] % 600 != 0, out)

    def test_second_interrupt(self):
        """While the first waits for the step to end, the second kills, whichever they are."""
        samples.write_idx(self.dir / "big", train=1024, test=0, height=64, width=64)
        layers = samples.model(64, 64)
        layers["layers"].insert(1, {"name": "wide", "type": "Conv2d", "in_channels": 4, "out_channels": 64, "kernel_size": 7,
                                    "padding": 3})
        layers["layers"].insert(2, {"name": "back", "type": "Conv2d", "in_channels": 64, "out_channels": 4, "kernel_size": 7,
                                    "padding": 3})
        self.json("net.json", layers)
        recipe = self.recipe(batch_size=256, epochs=50)
        for first, second in ((signal.SIGINT, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)):
            p = self.begin("-r", recipe, "--log", "l.jsonl", "-q", "--threads", "1", data="big")
            self.wait_for_log(p, self.log_size() + 10)
            time.sleep(0.1)
            p.send_signal(first)
            time.sleep(0.05)
            p.send_signal(second)
            self.assertEqual(p.wait(60), -second)

    def test_seed_and_threads(self):
        recipe = self.recipe(epochs=1)
        for name, args in (("a", ["--threads", "1"]), ("b", ["--threads", "5"]), ("c", ["--seed", "2"])):
            self.train("-r", recipe, "-s", name, *args)
        self.assertEqual(self.bytes("a"), self.bytes("b"))
        self.assertNotEqual(self.bytes("a"), self.bytes("c"))

    def test_what_does_not_fit(self):
        """A checkpoint of another model, batch or seed, or a damaged one, is refused and stays."""
        recipe = self.recipe(epochs=1)
        args = ["--checkpoint", "c.safetensors", "--resume"]
        self.train("-r", recipe, *args)
        good = self.bytes("c.safetensors")
        for other in (["--seed", "2"], ["--batch", "8"]):
            err = self.train("-r", recipe, *args, *other, status=1).stderr
            self.assertIn("c.safetensors", err)
            self.assertIn("[training]", err)
        def refused(*more, **keys):
            err = self.train("-r", self.recipe("x.json", epochs=2, **keys), *args, *more, status=1).stderr
            self.assertIn("[training]\n  hint: resume with the recipe and options of that run; or begin a new one from its "
                          "weights: --weights c.safetensors and another --checkpoint\n", err)
            return err
        self.assertIn("c.safetensors is of a run with batch 16; now it is 8", refused("--batch", "8"))
        self.assertIn("is of a run with optimizer Adam; now it is SGD", refused(optimizer="SGD"))
        self.assertIn("is of a run with optimizer Adam; now it is AdamW", refused(optimizer="AdamW"))
        self.assertIn("is of a run with loss CrossEntropyLoss; now it is NLLLoss", refused(loss="NLLLoss"))
        self.assertIn("c.safetensors: its run trained conv.weight, and this one does not", refused(freeze=["conv"]))
        self.assertIn("its run did not keep max_exp_avg_sq/", refused(optimizer={"type": "Adam", "amsgrad": True}))
        self.train("-r", self.recipe("x.json", freeze=["conv"], epochs=1), "--checkpoint", "d.safetensors")
        err = self.train("-r", recipe, "--checkpoint", "d.safetensors", "--resume", status=1).stderr
        self.assertIn("d.safetensors: its run did not train conv.weight, and this one does", err)
        self.assertIn("or begin a new one from the weights that it saved with --save", err)
        self.train("-r", self.recipe("x.json", epochs=1), "-s", "w.safetensors", "--seed", "5")
        frozen = ["-r", self.recipe("x.json", freeze=["conv"], epochs=1), "--checkpoint", "f.safetensors", "--resume"]
        self.train(*frozen, "-w", "w.safetensors")
        err = self.train(*frozen, "--epochs", "2", status=1).stderr
        self.assertIn("f.safetensors is of a run with other weights in its frozen layers [training]\n  hint: give the same "
                      "--weights as that run\n", err)
        err = self.train("-r", self.recipe("x.json", freeze=["conv"], epochs=2, optimizer="SGD"), *frozen[2:], "-w",
                         "w.safetensors", status=1).stderr
        self.assertIn("hint: resume with the recipe, options and --weights of that run; or begin a new one from the weights "
                      "that it saved with --save", err)
        self.recipe("x.json", freeze=["conv"], epochs=1)
        self.train(*frozen, "--epochs", "2", "-w", "w.safetensors")
        self.json("other.json", samples.model(features=5))
        err = self.train("-r", recipe, *args, model="other.json", status=1).stderr
        self.assertIn("c.safetensors is a checkpoint of another model [training]\n  hint: resume with", err)
        self.assertEqual(self.bytes("c.safetensors"), good)
        for damaged in (good[:-1], good[:200] + b"!" + good[201:], good[:-40] + b"!" + good[-39:], b""):
            (self.dir / "c.safetensors").write_bytes(damaged)
            self.assertIn("c.safetensors", self.train("-r", recipe, *args, status=1).stderr)
            self.assertEqual(self.bytes("c.safetensors"), damaged)


class Kill(Base):
    def test_twenty_kills(self):
        samples.write_idx(self.dir / "idx", train=640)
        recipe = self.recipe(epochs=100, optimizer={"type": "SGD", "lr": 0.02, "momentum": 0.9})
        args = ["-r", recipe, "--threads", "2"]
        self.train(*args, "-s", "whole.safetensors")
        args += ["--checkpoint", "c.safetensors", "--resume", "--log", "l.jsonl"]
        partial = self.dir / "c.safetensors.partial"
        moments = random.Random(7)
        kills = amid = 0
        for i in range(20):
            if i % 2:
                partial.unlink(missing_ok=True)
            p = self.begin(*args)
            if i % 2:  # while a checkpoint is written or renamed
                self.wait_until(lambda: partial.exists() or p.poll() is not None, pause=0)
            else:
                self.wait_for_log(p, self.log_size() + moments.randrange(12000))
            p.kill()
            kills += p.wait(60) == -signal.SIGKILL
            amid += partial.exists()
        self.assertGreater(kills, 10)
        self.assertGreater(amid, 0)
        self.train(*args, "-s", "w.safetensors")
        self.assertEqual(self.bytes("w.safetensors"), self.bytes("whole.safetensors"))
        lines = (self.dir / "l.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines if line.endswith("}")]
        self.assertLessEqual(len(lines) - len(events), kills)  # a kill may cut a line short
        self.assertTrue(any(e["event"] == "resume" and e["epoch"] > 0 for e in events))
        losses = {}
        for e in events:
            if e["event"] == "epoch":  # what a kill undid is there once more
                self.assertEqual(losses.setdefault(e["epoch"], e["loss"]), e["loss"])
        self.assertEqual(list(losses), list(range(1, 101)))

    def limited(self, size, ignore):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN if ignore else signal.SIG_DFL)
        return {"preexec_fn": limit, "restore_signals": False}

    def test_disk_full(self):
        """No room for the next checkpoint: the old one survives, and the run can go on from it."""
        samples.write_idx(self.dir / "idx")
        recipe = self.recipe(epochs=2)
        self.train("-r", recipe, "-s", "whole.safetensors")
        args = ["-r", recipe, "--checkpoint", "c.safetensors", "--resume"]
        self.train(*args, "--epochs", "1")
        old = self.bytes("c.safetensors")
        files = sorted(os.listdir(self.dir))
        err = self.train(*args, status=1, **self.limited(len(old) // 2, True)).stderr
        self.assertIn("c.safetensors cannot be written: File too large", err)
        self.assertEqual(self.bytes("c.safetensors"), old)
        self.assertEqual(sorted(os.listdir(self.dir)), files)
        self.train(*args, status=-signal.SIGXFSZ, **self.limited(len(old) // 2, False))
        self.assertEqual(self.bytes("c.safetensors"), old)
        self.train(*args, "-s", "w.safetensors")
        self.assertEqual(self.bytes("w.safetensors"), self.bytes("whole.safetensors"))
        err = self.train(*args, "-s", "v.safetensors", status=1, **self.limited(500, True)).stderr
        self.assertIn("v.safetensors cannot be written: File too large", err)
        self.assertFalse((self.dir / "v.safetensors").exists())

    def test_log_full(self):
        samples.write_idx(self.dir / "idx")
        err = self.train("-r", self.recipe(), "--log", "/dev/full", status=1).stderr
        self.assertIn("the log cannot be written: No space left on device", err)

    def test_not_finite(self):
        """A loss that is no number ends the run with the step, the layer and the last good checkpoint."""
        samples.write_idx(self.dir / "idx")
        wild = {"optimizer": {"type": "SGD", "lr": 1e6}}
        err = self.train("-r", self.recipe(**wild), "-s", "w.safetensors", status=1).stderr
        self.assertRegex(err, r"epoch 1, step \d+: .*not finite.* (conv|bn|fc)\.")
        self.assertIn("no checkpoint was written", err)
        self.assertFalse((self.dir / "w.safetensors").exists())
        sgd = self.recipe("sgd.json", epochs=1, optimizer={"type": "SGD", "lr": 0.01})
        self.train("-r", sgd, "--checkpoint", "s.safetensors")
        err = self.train("-r", self.recipe(**wild), "--checkpoint", "s.safetensors", "--resume", status=1).stderr
        self.assertRegex(err, r"epoch 2, step \d+: .*the last good checkpoint is that of step 10, s\.safetensors")
        self.assertIn("[training]", err)


class Output(Base):
    def setUp(self):
        super().setUp()
        samples.write_idx(self.dir / "idx")

    def test_json(self):
        r = self.train("-r", self.recipe(), "--json", "-s", "w.safetensors")
        self.assertEqual(r.stderr, "")
        out = json.loads(r.stdout)
        self.assertEqual((out["format"], out["model"], out["epochs"], out["steps"], out["stopped_by"], out["weights"]),
                         ("cnnc-train/1", "net", 3, 30, "epochs", "w.safetensors"))
        self.assertEqual(sum(map(sum, out["confusion"])), 50)
        self.assertEqual(sum(out["confusion"][i][i] for i in range(10)), round(50 * out["val_accuracy"]))
        self.assertTrue(0 <= out["val_accuracy"] <= out["val_top5"] <= 1)

    def test_quiet(self):
        r = self.train("-r", self.recipe(), "-q", "-s", "w.safetensors")
        self.assertEqual((r.stdout, r.stderr), ("", ""))

    def test_lines(self):
        """No terminal: a line an epoch and no control characters."""
        r = self.train("-r", self.recipe(), "-s", "w.safetensors")
        lines = r.stderr.splitlines()
        self.assertEqual(len(lines), 4, r.stderr)
        self.assertEqual(lines[0], "training net from fresh weights (seed 1)")
        for i, line in enumerate(lines[1:]):
            self.assertRegex(line, rf"^epoch {i + 1}/3  loss [\d.]+  acc [\d.]+%  val loss [\d.]+  val acc [\d.]+%  lr 0.001  "
                                   r"images/s \d+  \d+:\d\d$")
        self.assertNotRegex(r.stdout + r.stderr, r"[\x1b\r]|top-5")
        self.assertIn("confusion matrix", r.stdout)
        self.assertRegex(r.stdout, r"3 epochs, 30 steps, validation loss [\d.]+, validation accuracy [\d.]+%\nweights: w")
        self.assertIn("top-5", self.train("-r", self.recipe(top5=True, epochs=1)).stderr)

    def test_start(self):
        """The first line says where training starts from, and what is fresh or frozen."""
        def first(*args, **keys):
            return self.train("-r", self.recipe(epochs=1, **keys), "-s", "x.safetensors", *args).stderr.splitlines()[0]
        self.assertEqual(first("-s", "w.safetensors", "--seed", "7"), "training net from fresh weights (seed 7)")
        self.assertEqual(first("--init-seed", "8"), "training net from fresh weights (seed 8)")
        self.assertEqual(first("-w", "w.safetensors"), "training net from weights w.safetensors")
        says = "training net from weights w.safetensors; fresh: fc; frozen: conv, bn"
        self.assertEqual(first("-w", "w.safetensors", init=["fc*"], freeze=["conv", "bn"]), says)
        self.assertEqual(first("-w", "w.safetensors", freeze=["fc.bias"]), "training net from weights w.safetensors; frozen: fc.bias")
        args = ["-w", "w.safetensors", "--checkpoint", "c.safetensors", "--resume"]
        keys = {"freeze": ["conv"], "init": ["fc"]}
        self.assertEqual(first(*args, **keys), "training net from weights w.safetensors; fresh: fc; frozen: conv")
        self.assertEqual(first(*args, "--epochs", "2", **keys), "training net from checkpoint c.safetensors, after epoch 1; frozen: conv")
        deep = samples.model()
        head = deep["layers"].pop()
        deep["layers"] += [{"name": f"fc{i}", "type": "Linear", "in_features": head["in_features"],
                            "out_features": head["in_features"]} for i in range(6)] + [head]
        self.json("deep.json", deep)
        self.train("-r", self.recipe(epochs=1), "-s", "d.safetensors", model="deep.json")
        err = self.train("-r", self.recipe(epochs=1, freeze=["fc?"]), "-w", "d.safetensors", "-s", "x.safetensors",
                         model="deep.json").stderr
        self.assertEqual(err.splitlines()[0], "training net from weights d.safetensors; frozen: 6 of 9 layers")

    def test_bar(self):
        """On a terminal: a bar that never needs more than a line."""
        import fcntl
        import struct
        import termios
        for columns in (100, 40):
            main, side = pty.openpty()
            fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
            p = subprocess.Popen(self.command("-r", self.recipe(epochs=2)), cwd=self.dir, stderr=side,
                                 stdout=subprocess.DEVNULL)
            os.close(side)
            text = b""
            try:
                while chunk := os.read(main, 65536):
                    text += chunk
            except OSError:
                pass  # the other side is closed
            os.close(main)
            self.assertEqual(p.wait(60), 0)
            text = text.decode()
            self.assertIn("\r\x1b[Kepoch 1/2", text)
            self.assertIn("epoch 2/2 test", text)
            self.assertEqual("[====" in text, columns == 100, text)
            for piece in re.findall(r"\r\x1b\[K(epoch \d+/\d+ [^\r\n]*)(?=\r\x1b)", text):
                self.assertLess(len(piece), columns)

    def test_log(self):
        """The lines that docs/runtime.md tells of; a resumed run appends."""
        args = ["-r", self.recipe(top5=True), "--checkpoint", "c.safetensors", "--resume", "--log", "l.jsonl"]
        self.train(*args, "--epochs", "2")
        with open(self.dir / "l.jsonl", "a", encoding="utf-8") as log:
            log.write('{"event": "st')  # as a kill leaves it
        self.train(*args)
        lines = (self.dir / "l.jsonl").read_text().splitlines()
        lines.remove('{"event": "st')
        events = [json.loads(line) for line in lines]
        kinds = [e["event"] for e in events]
        self.assertEqual([k for k in kinds if k != "step"], ["start", "epoch", "epoch", "stop", "resume", "epoch", "stop"])
        self.assertEqual(kinds.count("step"), 30)
        self.assertEqual([e["step"] for e in events if e["event"] == "step"], list(range(1, 31)))
        docs = (pathlib.Path(__file__).resolve().parents[2] / "docs/runtime.md").read_text()
        for e in events:
            row = re.search(rf"^\|[^|]*`{e['event']}`[^|]*\|([^|]*)\|", docs, re.M)
            self.assertEqual(set(e) - {"event", "format"}, set(re.findall(r"`(\w+)`", row[1])), e)
        self.assertEqual({e["event"] for e in events if "format" in e}, {"start", "resume"})
        self.assertEqual(events[0]["samples"], 160)


class Data(Base):
    def test_kinds(self):
        one = self.recipe(epochs=1)
        self.json("three.json", samples.model(classes=3))
        self.json("colour.json", samples.model(32, 32, channels=3))
        self.json("numbers.json", samples.model(classes=2))
        mse = self.recipe("mse.json", epochs=1, loss="MSELoss")
        samples.write_cifar(self.dir / "cifar")
        samples.write_npy_pairs(self.dir / "npy")
        samples.write_npy_pairs(self.dir / "numbers", numbers=2)
        samples.write_folder(self.dir / "folder")
        for model, data, recipe, accuracy in [
            ("colour.json", "cifar", one, True),
            ("net.json", "npy", one, True),
            ("numbers.json", "numbers", mse, False),
            ("three.json", "folder", one, True),
        ]:
            with self.subTest(data=data):
                out = json.loads(self.train("-r", recipe, "--json", model=model, data=data).stdout)
                self.assertEqual(out["epochs"], 1)
                self.assertIsNotNone(out["val_loss"])
                self.assertEqual(out["val_accuracy"] is not None, accuracy)
        r = self.train("-s", "w.safetensors", "-r", one, model="three.json", data=self.dir / "folder/train")
        self.assertRegex(r.stderr, r"^cnnc: warning: no validation: .*\n  hint: .*\ntraining net from")
        self.assertIn("a", self.train("-r", one, "--data-kind", "npy", data="npy").stdout)

    def test_faults(self):
        """Whatever does not fit is told in one sentence before the first step; nothing is written."""
        one = self.recipe(epochs=1)
        mse = self.recipe("mse.json", epochs=1, loss="MSELoss")
        samples.write_idx(self.dir / "idx")
        samples.write_idx(self.dir / "small", height=6)
        samples.write_idx(self.dir / "cut")
        path = self.dir / "cut/train-images-idx3-ubyte"
        path.write_bytes(path.read_bytes()[:-7])
        samples.write_idx(self.dir / "cut_test")
        path = self.dir / "cut_test/t10k-labels-idx1-ubyte"
        path.write_bytes(path.read_bytes()[:-7])
        samples.write_npy_pairs(self.dir / "npy")
        samples.write_npy_pairs(self.dir / "numbers", numbers=2)
        samples.write_folder(self.dir / "folder")
        samples.write_folder(self.dir / "lacks", names=("ape", "bee", "cat"))
        for file in (self.dir / "lacks/test/ape").iterdir():
            file.unlink()
        (self.dir / "lacks/test/ape").rmdir()
        samples.write_folder(self.dir / "bad")
        for file in (self.dir / "bad/train/bee").iterdir():
            file.write_bytes(file.read_bytes()[:30])
        for name, code, letter in (("floats", "<f4", "f"), ("doubles", "<f8", "d")):
            samples.write_npy_pairs(self.dir / name)
            path = self.dir / name / "train-labels.npy"
            samples.write_npy(path, code, (60,), struct.pack(f"<60{letter}", *range(60)))
        labels = samples.pictures(160, 1)[0]
        beyond = next(i for i, k in enumerate(labels) if k >= 2)
        (self.dir / "empty").mkdir()
        self.json("three.json", samples.model(classes=3))
        self.json("two.json", samples.model(classes=2))
        two_inputs = {"format": "cnnc-model/1", "name": "pair", "inputs": [{"name": "a", "shape": [4]}, {"name": "b", "shape": [4]}],
                      "layers": [{"name": "sum", "type": "Add", "inputs": ["a", "b"]},
                                 {"name": "fc", "type": "Linear", "in_features": 4, "out_features": 10}],
                      "outputs": [{"name": "y", "from": "fc"}]}
        self.json("pair.json", two_inputs)
        before = sorted(os.listdir(self.dir))
        for model, data, recipe, says in [
            ("net.json", "missing", one, "missing"),
            ("net.json", "empty", one, 'for split "train"'),
            ("net.json", "small", one, "training: the pictures are 8 by 6 pixels where the model takes 8 by 10; resize them"),
            ("net.json", "cut", one, "train-images-idx3-ubyte"),
            ("net.json", "cut_test", one, "t10k-labels-idx1-ubyte"),
            ("two.json", "idx", one, f'idx/train-labels-idx1-ubyte: sample {beyond} has label {labels[beyond]}, but output "logits" of '
             "the model has 2 classes"),
            ("two.json", "folder", one, 'the data have 3 classes, but output "logits" of the model has 2'),
            ("three.json", "lacks", one, 'class 0 is "bee" in validation and "ape" in training'),
            ("three.json", "bad", one, "bad/train/bee/"),
            ("net.json", "numbers", one, "numbers/train-targets.npy: the data set has 2 numbers a sample as targets where the model takes classes"),
            ("net.json", "floats", one, "floats/train-labels.npy: f4, but the model takes classes, and classes are integers: .astype('int64')"),
            ("net.json", "doubles", one, "doubles/train-labels.npy: targets are u1, i4, i8 (classes) or f4, not f8; classes are "
             "integers: .astype('int64')"),
            ("net.json", "numbers", mse, "2 numbers a sample as targets where the model takes 10"),
            ("net.json", "npy", self.recipe("n.json", augmentation=[{"type": "Normalize", "mean": [1, 2], "std": [1, 2]}]),
             "/augmentation/0"),
            ("net.json", "npy", self.recipe("m.json", augmentation=[{"type": "RandomCrop", "size": 6}]),
             "training: the pictures are 6 by 6 pixels after the transforms, where the model takes 8 by 10 [training-data]\n"),
            ("net.json", "idx", self.recipe("v.json", validation=0.001), "no samples for validation"),
            ("net.json", "idx", self.recipe("k.json", classes=["1", "eleven"]), 'no class "eleven"'),
            ("net.json", "idx", self.recipe("d.json", classes=["1", "1"]), "named twice"),
            ("pair.json", "npy", one, "one input, and this one has 2"),
        ]:
            with self.subTest(data=data, model=model, recipe=recipe):
                err = self.train("-r", recipe, "-s", "w.safetensors", "--checkpoint", "c.safetensors", model=model, data=data,
                                 status=1).stderr
                self.assertIn(says, err)
                self.assertIn("[training-data]", err)
                self.assertNotIn("epoch 1", err)
        names = {"n.json", "m.json", "v.json", "k.json", "d.json"}
        self.assertEqual(sorted(set(os.listdir(self.dir)) - names), sorted(set(before) - names))

    def test_labels(self):
        """A label beyond the classes is told with its sample and file, wherever it is; too many outputs are a warning."""
        def labels(split, count, **odd):
            data = [i % 3 for i in range(count)]
            for at, label in odd.items():
                data[int(at[1:])] = label
            samples.write_npy(self.dir / f"npy/{split}-labels.npy", "<i8", (count,), struct.pack(f"<{count}q", *data))
        def fault(**keys):
            return self.train("-r", self.recipe(epochs=1, **keys), model="three.json", data="npy", status=1).stderr
        samples.write_npy_pairs(self.dir / "npy")
        self.json("three.json", samples.model(classes=3))
        labels("train", 60, _41=7, _50=3)
        labels("test", 20)
        says = 'npy/train-labels.npy: sample 41 has label 7, but output "logits" of the model has 3 classes [training-data]'
        self.assertIn(says, fault())
        for seed in range(4):  # in what is held back, too
            err = fault(validation=0.5, seed=seed)
            self.assertRegex(err, r'train-labels.npy: sample (41 has label 7|50 has label 3), but output "logits" of the model has 3')
        labels("train", 60)
        labels("test", 20, _12=3)
        self.assertIn("npy/test-labels.npy: sample 12 has label 3, but the largest in training is 2 [training-data]", fault())
        labels("test", 20)
        self.assertNotIn("warning", self.train("-r", self.recipe(epochs=1), "-s", "w.safetensors", data="npy").stderr)
        samples.write_folder(self.dir / "folder")
        err = self.train("-r", self.recipe(epochs=1), data="folder").stderr
        self.assertIn('warning: the data have 3 classes, and output "logits" of the model has 10 [training-data]', err)
        self.assertNotIn("warning", self.train("-r", self.recipe(epochs=1), "-s", "w.safetensors", model="three.json", data="folder").stderr)

    def test_layout(self):
        """The model's shape tells NCHW from NHWC."""
        narrow = samples.model()
        narrow["inputs"][0]["shape"] = [8, 11, 1]
        narrow["layers"] = [{"name": "flatten", "type": "Flatten"}, {"name": "fc", "type": "Linear", "in_features": 88, "out_features": 10}]
        self.json("narrow.json", narrow)
        (self.dir / "npy").mkdir()
        for split in ("train", "test"):
            samples.write_npy(self.dir / f"npy/{split}-images.npy", "|u1", (16, 8, 11, 1), bytes(16 * 88))
            samples.write_npy(self.dir / f"npy/{split}-labels.npy", "|u1", (16,), bytes(range(8)) * 2)
        self.train("-r", self.recipe(epochs=1), model="narrow.json", data="npy")

    def test_paths(self):
        """No data, or a pipe among them: told at once. A pipe has no writer, and would be waited for for ever."""
        def fault(*args, **more):
            return self.train("-r", self.recipe(epochs=1), *args, status=1, **more).stderr
        says = "cnnc: error: nowhere: cannot be opened: No such file or directory [training-data]\n"
        self.assertEqual(fault(data="nowhere"), says)
        samples.write_idx(self.dir / "idx")
        self.train("-r", self.recipe(epochs=1), "-s", "w.safetensors")
        self.assertEqual(fault("--evaluate", "-w", "w.safetensors", data="nowhere"), says)
        os.mkfifo(self.dir / "pipe")
        self.assertIn("pipe: error: this is there, and not a regular file", fault("--checkpoint", "pipe", "--resume"))
        self.assertIn("it is not a regular file", fault("-w", "pipe"))
        self.json("three.json", samples.model(classes=3))
        samples.write_folder(self.dir / "folder")
        os.mkfifo(self.dir / "folder/train/bee/99.png")
        err = fault(model="three.json", data="folder")
        self.assertIn("bee/99.png: not a regular file [training-data]", err)

    def test_classes(self):
        """Some of the classes, by the numbers of the files or by the model's names."""
        samples.write_idx(self.dir / "idx")
        names = [f"kind {i}" for i in range(10)]
        self.json("named.json", samples.model(classes=10) | {"classes": names})
        self.json("three.json", samples.model(classes=3))
        by_number = self.recipe("a.json", classes=["2", "7", "0"])
        by_name = self.recipe("b.json", classes=["kind 2", "kind 7", "kind 0"])
        self.train("-r", by_number, "-s", "a", model="named.json")
        self.train("-r", by_name, "-s", "b", model="named.json")
        self.assertEqual(self.bytes("a"), self.bytes("b"))
        out = json.loads(self.train("-r", by_number, "--json", model="three.json").stdout)
        self.assertEqual(len(out["confusion"]), 3)
        err = self.train("-r", self.recipe("c.json", classes=["kind 22"]), model="named.json", status=1).stderr
        self.assertIn('c.json:1:', err)
        self.assertIn('error: /classes: ', err)
        self.assertIn('did you mean "kind 2"?', err)

    def test_names_of_folders(self):
        """The model's names say which folder is which class; names that are not the model's are told."""
        samples.write_folder(self.dir / "folder")
        one = self.recipe(epochs=2)
        def net(*names):
            self.json("three.json", samples.model(classes=len(names)) | {"classes": list(names)})
        def matrix(recipe):
            r = self.train("-r", recipe, "--json", "-s", "w.safetensors", model="three.json", data="folder")
            return json.loads(r.stdout)["confusion"]
        net("cat", "ape", "bee")
        by_name = matrix(one)
        weights = self.bytes("w.safetensors")
        sizes = [len(os.listdir(self.dir / "folder/test" / name)) for name in ("cat", "ape", "bee")]
        self.assertEqual([sum(row) for row in by_name], sizes)
        self.json("three.json", samples.model(classes=3))
        self.assertEqual(matrix(self.recipe("o.json", epochs=2, classes=["cat", "ape", "bee"])), by_name)
        self.assertEqual(self.bytes("w.safetensors"), weights)
        for names, says in [
            (("ape", "bee", "dog"), '3 classes; there is no folder "dog"; the model has no class "cat"'),
            (("ape", "bee", "cat", "dog", "eel"), '5 classes; there is no folder "dog" and 1 more'),
            (("ape", "bee"), '2 classes; the model has no class "cat"'),
        ]:
            net(*names)
            err = self.train("-r", one, model="three.json", data="folder", status=1).stderr
            self.assertIn(f"three.json: error: the class folders for training are not the model's {says} [training-data]", err)
        net("one", "two", "three")
        self.train("-r", self.recipe("o.json", classes=["ape", "bee", "cat"]), model="three.json", data="folder")
        net("ape", "bee", "cat")
        recipe = self.recipe("o.json", classes=["ape", "cat"])
        err = self.train("-r", recipe, model="three.json", data="folder", status=1).stderr
        self.assertIn('/classes: "cat" is class 1 here and class 2 of the model [training-data]', err)
        shutil.rmtree(self.dir / "folder/test/cat")  # the last may be missing from validation
        self.train("-r", one, model="three.json", data="folder")


class Options(Base):
    def setUp(self):
        super().setUp()
        samples.write_idx(self.dir / "idx")

    def last(self, **keys):
        return json.loads(self.train("-r", self.recipe(**keys), "--json", "-s", "w.safetensors").stdout)

    def test_early_stopping(self):
        """A rate of 0 improves nothing: over after the patience. The best weights come back."""
        out = self.last(optimizer={"type": "SGD", "lr": 0}, early_stopping={"patience": 2, "monitor": "val_loss"}, epochs=20)
        self.assertEqual(out["stopped_by"], "early stopping")
        self.assertLessEqual(out["epochs"], 6)
        rough = {"optimizer": {"type": "SGD", "lr": 0.3}, "schedule": {"type": "MultiStepLR", "milestones": [2], "gamma": 3}}
        stop = {"patience": 2, "monitor": "train_loss"}
        out = self.last(**rough, early_stopping=stop, epochs=8)
        self.assertEqual(out["stopped_by"], "early stopping")
        best = out["best_epoch"]
        kept = self.bytes("w.safetensors")
        self.assertLess(best, out["epochs"])
        self.last(**rough, epochs=best)
        self.assertEqual(self.bytes("w.safetensors"), kept)
        self.last(**rough, early_stopping=stop | {"restore_best": False}, epochs=8)
        self.assertNotEqual(self.bytes("w.safetensors"), kept)

    def test_report_of_the_best(self):
        """The report says which epoch's weights these are, with the figures that they have in an evaluation."""
        rough = {"optimizer": {"type": "SGD", "lr": 0.3}, "schedule": {"type": "MultiStepLR", "milestones": [2], "gamma": 3},
                 "early_stopping": {"patience": 2, "monitor": "val_loss"}, "epochs": 8}
        out = self.last(**rough)
        best = json.loads(self.train("--evaluate", "-w", "w.safetensors", "--json", "-r", "r.json").stdout)
        self.assertEqual(out["saved_epoch"], out["best_epoch"])
        self.assertLess(out["saved_epoch"], out["epochs"])
        self.assertNotEqual(out["saved_val_loss"], out["val_loss"])
        for key in ("val_loss", "val_accuracy", "val_top5"):
            self.assertEqual(out["saved_" + key], best[key])
        self.assertEqual(out["confusion"], best["confusion"])
        says = (f'these are the weights of epoch {out["best_epoch"]}, the best, validation loss {best["val_loss"]:.4f}, '
                f'validation accuracy {100 * best["val_accuracy"]:.2f}%\nweights: w')
        self.assertIn(says, self.train("-r", "r.json", "-s", "w.safetensors").stdout)
        args = ["-r", "r.json", "--checkpoint", "c.safetensors", "--resume", "--json"]
        first = json.loads(self.train(*args, "--epochs", str(out["epochs"] - 1)).stdout)
        again = json.loads(self.train(*args).stdout)  # the best epoch was before
        self.assertLess(out["best_epoch"], first["epochs"] + 1)
        same = [k for k in out if k.startswith("saved_")]
        self.assertEqual([again[k] for k in same], [out[k] for k in same])
        self.assertEqual(again["confusion"], [])
        out = self.last(epochs=2)
        self.assertEqual([out["saved_epoch"], out["saved_val_loss"]], [2, out["val_loss"]])

    def test_schedules(self):
        """The rates in the log are those of PyTorch's formulas."""
        def rates(**keys):
            (self.dir / "l.jsonl").unlink(missing_ok=True)
            self.train("-r", self.recipe(optimizer={"type": "SGD", "lr": 0.5}, **keys), "--log", "l.jsonl")
            return [e["lr"] for e in self.log() if e["event"] == "step"]
        self.assertEqual(rates(schedule={"type": "ExponentialLR", "gamma": 0.5}), [0.5] * 10 + [0.25] * 10 + [0.125] * 10)
        warm = rates(warmup={"epochs": 1, "start_factor": 0.1})
        self.assertAlmostEqual(warm[0], 0.05, 6)
        self.assertTrue(all(a < b for a, b in zip(warm, warm[1:11])) and set(warm[11:]) == {0.5}, warm)
        cycle = rates(schedule={"type": "OneCycleLR", "max_lr": 1.0})
        self.assertAlmostEqual(cycle[0], 1 / 25, 6)
        self.assertAlmostEqual(max(cycle), 1, 2)
        self.assertLess(cycle[-1], 1e-4)
        halved = rates(groups=[{"params": ["fc"], "lr": 0.25}], schedule={"type": "StepLR", "step_size": 1})
        self.assertEqual(halved[0], 0.5)

    def test_validation_split(self):
        (self.dir / "idx/t10k-images-idx3-ubyte").unlink()
        out = self.last(validation=0.25)
        self.assertEqual(sum(map(sum, out["confusion"])), 40)
        self.assertEqual(out["steps"], 3 * 8)
        self.assertIn("looks at validation", self.train("-r", self.recipe(early_stopping={"patience": 1}), status=1).stderr)

    def test_accumulate(self):
        """Two batches of 8 are one step, and nearly a batch of 16."""
        self.json("net.json", samples.model() | {"layers": [l for l in samples.model()["layers"] if l["name"] not in ("bn", "drop")]})
        a = self.last(batch_size=8, accumulate=2)
        b = self.last(batch_size=16)
        self.assertEqual(a["steps"], b["steps"])
        self.assertAlmostEqual(a["train_loss"], b["train_loss"], 4)

    def test_clip(self):
        """A limit near 0 holds SGD where it began."""
        sgd = {"type": "SGD", "lr": 0.1}
        self.last(optimizer={"type": "SGD", "lr": 0.0}, epochs=1)
        start = samples.read_weights(self.dir / "w.safetensors")["fc.weight"]
        for clip in ({"type": "norm", "max_norm": 1e-30}, {"type": "value", "clip_value": 1e-30}):
            self.last(optimizer=sgd, clip=clip, epochs=1)
            self.assertEqual(samples.read_weights(self.dir / "w.safetensors")["fc.weight"], start)
        self.last(optimizer=sgd, epochs=1)
        self.assertNotEqual(samples.read_weights(self.dir / "w.safetensors")["fc.weight"], start)

    def test_transfer(self):
        """Pretrained weights by name; the trunk frozen, the head fresh."""
        self.train("-r", self.recipe(), "-s", "old.safetensors")
        self.json("four.json", samples.model(classes=4))
        recipe = self.recipe("t.json", freeze=["conv", "bn"], init=["fc"], classes=["0", "1", "2", "3"])
        err = self.train("-r", self.recipe(), "-w", "old.safetensors", model="four.json", status=1).stderr
        self.assertIn('[weights-shape]\n  hint: "init": ["fc.*"] in the recipe lets it start afresh\n', err)
        self.assertEqual(err.count("hint"), 1, err)
        self.train("-r", recipe, "-w", "old.safetensors", "-s", "new.safetensors", model="four.json")
        r = subprocess.run([CNNC, "four.json", "-w", "old.safetensors"], cwd=self.dir, capture_output=True, text=True)
        self.assertNotIn("hint", r.stderr)  # who compiles for inference has no recipe
        old, new = (samples.read_weights(self.dir / f"{n}.safetensors") for n in ("old", "new"))
        self.assertEqual(set(old), set(new))
        for name in old:
            self.assertEqual(old[name] == new[name], not name.startswith("fc."), name)
        r = subprocess.run([CNNC, "four.json", "-w", "new.safetensors", "-q"], cwd=self.dir, capture_output=True, text=True)
        self.assertEqual(r.returncode, 0, r.stderr)

    def test_transfer_to_another_name(self):
        """A head of another name starts afresh; what was in its place is left, with a warning."""
        self.train("-r", self.recipe(epochs=1), "-s", "old.safetensors")
        (self.dir / "named.json").write_text((self.dir / "net.json").read_text().replace('"fc"', '"classifier"'))
        args = ["-w", "old.safetensors", "-s", "new.safetensors"]
        err = self.train("-r", self.recipe(epochs=1), *args, model="named.json", status=1).stderr
        self.assertIn('old.safetensors: error: tensor "fc.weight" is not in the model [weights-extra]\n  hint: with "init" in '
                      'the recipe, for what starts afresh, this is a warning\n', err)
        recipe = self.recipe(epochs=1, init=["classifier"], freeze=["conv", "bn"])
        err = self.train("-r", recipe, *args, model="named.json").stderr
        self.assertIn('old.safetensors: warning: 2 tensors are not in the model and not used: "fc.bias", "fc.weight" '
                      '[weights-extra]\n', err)
        old, new = (samples.read_weights(self.dir / f"{n}.safetensors") for n in ("old", "new"))
        self.assertEqual(old["conv.weight"], new["conv.weight"])
        self.assertIn("classifier.weight", new)
        self.assertNotIn("fc.weight", new)


class Evaluate(Base):
    """--evaluate: the figures of the last validation, from the weights alone."""

    def setUp(self):
        super().setUp()
        samples.write_idx(self.dir / "idx")

    def check(self, recipe, *args, model="net.json", data="idx", evaluated=None):
        figures = ("val_loss", "val_accuracy", "val_top5", "confusion")
        trained = json.loads(self.train("-r", recipe, "--json", "-s", "w.safetensors", *args, model=model, data=data).stdout)
        r = self.train("--evaluate", "-r", recipe, "-w", "w.safetensors", "--json", *args, model=model, data=evaluated or data)
        out = json.loads(r.stdout)
        self.assertEqual([out[k] for k in figures], [trained[k] for k in figures])
        self.assertEqual((r.stderr, out["format"], out["weights"]), ("", "cnnc-evaluate/1", "w.safetensors"))
        return out

    def test_as_trained(self):
        self.assertEqual(self.check(self.recipe())["samples"], 50)
        self.assertEqual(self.check(self.recipe(validation=0.25))["samples"], 40)
        self.check(self.recipe(validation=0.25), "--seed", "7")
        self.check(self.recipe(freeze=["conv"], init=["fc"], classes=[str(i) for i in range(9, -1, -1)]))
        samples.write_folder(self.dir / "folder")
        self.json("three.json", samples.model(classes=3))
        self.check(self.recipe(), model="three.json", data="folder")
        self.check(self.recipe(), model="three.json", data="folder", evaluated="folder/test")
        samples.write_npy_pairs(self.dir / "numbers", numbers=2)
        self.json("numbers.json", samples.model(classes=2))
        self.assertEqual(self.check(self.recipe(loss="MSELoss"), model="numbers.json", data="numbers")["confusion"], [])

    def test_words(self):
        """The same matrix as after training, and nothing is written; a checkpoint will do, the test files suffice."""
        out = self.train("-r", self.recipe(), "--checkpoint", "c.safetensors").stdout
        for file in self.dir.glob("idx/train*"):
            file.unlink()
        before = sorted(os.listdir(self.dir))
        r = self.train("--evaluate", "-w", "c.safetensors")
        self.assertEqual(r.stdout.split("50 samples")[0], out.split("3 epochs")[0])
        self.assertRegex(r.stdout, r"\n50 samples: loss [\d.]+, accuracy [\d.]+%, top-5 [\d.]+%\n$")
        self.assertEqual(r.stderr, "")
        self.assertEqual(self.train("--evaluate", "-w", "c.safetensors", "-q").stdout, "")
        self.assertEqual(sorted(os.listdir(self.dir)), before)

    def test_faults(self):
        err = self.train("--evaluate", status=1).stderr
        self.assertIn("but no weights [no-weights]", err)
        self.json("four.json", samples.model(classes=4))
        self.train("-r", self.recipe(epochs=1), "-s", "w.safetensors")
        err = self.train("--evaluate", "-r", self.recipe(init=["fc"]), "-w", "w.safetensors", model="four.json", status=1).stderr
        self.assertIn("[weights-shape]", err)
        for file in self.dir.glob("idx/t10k*"):
            file.unlink()
        err = self.train("--evaluate", "-w", "w.safetensors", status=1).stderr
        self.assertIn('for split "test" [training-data]\n  hint: "validation" in the recipe', err)
        self.train("--evaluate", "-w", "w.safetensors", "-r", self.recipe(validation=0.1))


class Refusals(Base):
    def setUp(self):
        super().setUp()
        samples.write_idx(self.dir / "idx")

    def test_recipe_and_model(self):
        """What a recipe says and the model cannot do is told with its place in the recipe."""
        pixels = {"format": "cnnc-model/1", "name": "dense", "inputs": [{"name": "image", "shape": [1, 10, 8]}],
                  "layers": [{"name": "conv", "type": "Conv2d", "in_channels": 1, "out_channels": 10, "kernel_size": 1}],
                  "outputs": [{"name": "y", "from": "conv"}]}
        self.json("pixels.json", pixels)
        for model, keys, says, tag in [
            ("net.json", {"freeze": ["conv", "bn", "fc"]}, "error: /freeze: every parameter is frozen", "nothing-trained"),
            ("net.json", {"freeze": "*"}, "error: /freeze: every parameter is frozen", "nothing-trained"),
            ("net.json", {"freeze": ["cnov"]}, 'error: /freeze: no parameter is called "cnov"', "no-match"),
            ("net.json", {"init": ["head"]}, 'error: /init: no parameter is called "head"', "no-match"),
            ("net.json", {"groups": [{"params": "fd"}]}, 'error: /groups/0: no parameter is called "fd"', "no-match"),
            ("net.json", {"groups": [{"params": "fc"}, {"params": "f*"}]}, "error: /groups/1: ", "bad-argument"),
            ("net.json", {"loss": {"type": "MSELoss", "output": "logit"}}, "error: /loss: ", "unknown-name"),
            ("net.json", {"loss": {"type": "NLLLoss", "weight": [1, 2]}}, "error: /loss: ", "shape-mismatch"),
            ("pixels.json", {"loss": "NLLLoss"}, "one label a sample", "training-data"),
        ]:
            with self.subTest(keys=keys):
                name = self.recipe(**keys)
                err = self.train("-r", name, "-s", "w.safetensors", model=model, status=1).stderr
                self.assertIn(says, err)
                self.assertIn(f"[{tag}]", err)
        self.assertFalse((self.dir / "w.safetensors").exists())

    def test_advice(self):
        """What can hardly be meant is a warning, or an error where it must fail."""
        deep = samples.model()
        deep["layers"][5:] = [{"name": "pool2", "type": "AdaptiveAvgPool2d", "output_size": 1},
                              {"name": "bn2", "type": "BatchNorm2d", "num_features": 4}, {"name": "flat2", "type": "Flatten"},
                              {"name": "fc", "type": "Linear", "in_features": 4, "out_features": 10}]
        deep["layers"].pop(4)
        self.json("deep.json", deep)
        self.train("-r", self.recipe(batch_size=160, epochs=1), "-s", "d.safetensors", model="deep.json")
        odd = self.recipe(batch_size=53)  # 160 = 3 * 53 + 1
        err = self.train("-r", odd, model="deep.json", status=1).stderr
        self.assertIn('layer "bn2" (/layers/5): the last of 160 samples is a batch of its own', err)
        self.assertNotIn("epoch 1", err)
        self.train("-r", self.recipe(batch_size=53, epochs=1))  # pictures have more than one value a channel
        frozen = self.recipe(batch_size=53, epochs=1, freeze=["bn2"])
        self.assertNotIn("[frozen-random]", self.train("-r", frozen, "-w", "d.safetensors", model="deep.json").stderr)
        self.assertIn("[frozen-random]", self.train("-r", frozen, model="deep.json").stderr)
        both = self.recipe(epochs=1, freeze=["bn2"], init=["bn*"])
        err = self.train("-r", both, "-w", "d.safetensors", model="deep.json").stderr
        self.assertIn('2 parameters are frozen at random initial values: "bn2.weight" and so on [frozen-random]\n'
                      '  hint: "init" names what is frozen', err)
        err = self.train("-r", self.recipe(batch_size=1), model="deep.json", status=1).stderr
        self.assertIn("every step will fail [batch-norm]", err)
        self.assertIn("[training]", err)
        prob = samples.model()
        prob["layers"].append({"name": "prob", "type": "Softmax", "dim": 1})
        prob["outputs"] = [{"name": "prob", "from": "prob"}, {"name": "logits", "from": "fc"}]
        self.json("prob.json", prob)
        self.assertIn("[loss-input]", self.train("-r", self.recipe(epochs=1), model="prob.json").stderr)
        right = self.recipe(epochs=1, loss={"type": "CrossEntropyLoss", "output": "logits"})
        self.assertNotIn("[loss-input]", self.train("-r", right, model="prob.json").stderr)
        self.assertIn("gets logits [loss-input]", self.train("-r", self.recipe(epochs=1, loss="NLLLoss")).stderr)

    def test_outputs(self):
        """No input is overwritten, and what cannot be written is told before the training."""
        recipe = self.recipe(epochs=1)
        self.train("-r", recipe, "-s", "w.safetensors")
        os.symlink("w.safetensors", self.dir / "link")
        os.symlink("idx/train-labels-idx1-ubyte", self.dir / "label.safetensors")
        (self.dir / "folder").mkdir()
        os.symlink("to.safetensors", self.dir / "dangling")
        os.symlink(self.dir / "dangling", self.dir / "folder/far")
        os.symlink("idx/new", self.dir / "new")
        os.symlink("self", self.dir / "self")
        before = {p: p.read_bytes() for p in self.dir.rglob("*") if p.is_file()}
        for args, says in [
            (["-s", "net.json"], "this would overwrite the model"),
            (["-s", "r.json"], "this would overwrite the recipe"),
            (["-s", "w.safetensors"], "this would overwrite the weights"),
            (["-s", "link"], "this would overwrite the weights"),
            (["--checkpoint", "w.safetensors"], "this would overwrite the weights"),
            (["--log", "r.json"], "this would overwrite the recipe"),
            (["-s", "x", "--checkpoint", "x"], "two output files would have this name"),
            (["--checkpoint", "x", "--log", "x"], "two output files would have this name"),
            (["-s", "x", "--checkpoint", "folder/../x"], "two output files would have this name"),
            (["-s", "dangling", "--checkpoint", "to.safetensors"], "two output files would have this name"),
            (["-s", "to.safetensors", "--checkpoint", "folder/far"], "two output files would have this name"),
            (["--log", "dangling", "--checkpoint", "folder/far"], "two output files would have this name"),
            (["-s", "self"], "Too many levels of symbolic links"),
            (["--checkpoint", "self"], "Too many levels of symbolic links"),
            (["--log", "new"], "this would lie among the data, in idx"),
            (["-s", "nowhere/x"], "cannot write into the folder nowhere: No such file or directory"),
            (["-s", "folder"], "not a regular file"),
            (["-s", "/dev/null"], "not a regular file"),
            (["-s", "idx/train-images-idx3-ubyte"], "this would lie among the data, in idx"),
            (["--checkpoint", "folder/../idx/t10k-labels-idx1-ubyte"], "this would lie among the data, in idx"),
            (["--log", "label.safetensors"], "this would lie among the data, in idx"),
            (["-s", "label.safetensors"], "this would lie among the data, in idx"),
            (["-s", "idx/new.png"], "this would lie among the data, in idx"),
            (["--log", "idx/train"], "this would lie among the data, in idx"),
        ]:
            with self.subTest(args=args):
                err = self.train("-r", recipe, "-w", "w.safetensors", *args, status=1).stderr
                self.assertIn(says, err)
                self.assertIn("[file-write]", err)
        self.assertEqual({p: p.read_bytes() for p in self.dir.rglob("*") if p.is_file()}, before)

    def test_not_saved(self):
        """A run that keeps nothing says so at its start."""
        says = "[not-saved]\n  hint: --save W.safetensors or --checkpoint C.safetensors keeps them\n"
        recipe = self.recipe(epochs=1)
        err = self.train("-r", recipe).stderr
        self.assertIn("warning: the trained weights will not be kept " + says, err)
        self.assertLess(err.index("[not-saved]"), err.index("epoch 1"))
        for args in (["-s", "w.safetensors"], ["--checkpoint", "c.safetensors"], ["--evaluate", "-w", "w.safetensors"]):
            self.assertNotIn("[not-saved]", self.train("-r", recipe, *args).stderr)

    def test_links(self):
        """A link to an output stays one: what it points to is replaced, and must be possible to replace."""
        (self.dir / "there").mkdir()
        for name in ("w.safetensors", "c.safetensors"):
            (self.dir / "there" / name).write_bytes(b"old")
            os.symlink(f"there/{name}", self.dir / name)
        self.train("-r", self.recipe(epochs=1), "-s", "w.safetensors", "--checkpoint", "c.safetensors")
        for name in ("w.safetensors", "c.safetensors"):
            self.assertTrue((self.dir / name).is_symlink())
            self.assertGreater((self.dir / "there" / name).stat().st_size, 1000)
        self.assertEqual(sorted(os.listdir(self.dir / "there")), ["c.safetensors", "w.safetensors"])
        for name in ("w.safetensors", "c.safetensors"):  # what they point to need not be there
            (self.dir / "there" / name).unlink()
            os.symlink(f"../{name}", self.dir / "there" / f"to-{name}")
        self.train("-r", self.recipe(epochs=1), "-s", "there/to-w.safetensors", "--checkpoint", "there/to-c.safetensors")
        for name in ("w.safetensors", "c.safetensors"):
            self.assertTrue((self.dir / "there" / f"to-{name}").is_symlink())
            self.assertTrue((self.dir / name).is_symlink())
            self.assertGreater((self.dir / "there" / name).stat().st_size, 1000)

    def test_outputs_beside_data(self):
        """Names that no data have are welcome in their folder, again and again."""
        (self.dir / "idx2").mkdir()
        recipe = self.recipe(epochs=1)
        args = ["-s", "idx/w.safetensors", "--checkpoint", "idx/c.safetensors", "--resume", "--log", "idx/l.jsonl"]
        for _ in range(2):
            self.train("-r", recipe, *args)
        self.train("-r", recipe, "-s", "idx2/w")
        self.assertTrue((self.dir / "idx2/w").exists())

    def test_loops(self):
        subprocess.run([CNNC, "net.json", "--init-seed", "1", "--stop-after=plan", "-o", "net.cnnir"], cwd=self.dir, check=True)
        self.assertIn("not from loop IR", self.train(model="net.cnnir", status=1).stderr)


    def test_dumps(self):
        """What the training pipeline dumps is for reading, whatever the level and the command."""
        for stop in ("autodiff", "layout", "lower", "plan"):
            subprocess.run([CNNC, "net.json", "--train", f"--stop-after={stop}", "-q", "-o", "t.cnnir"], cwd=self.dir, check=True)
            for args in (["t.cnnir"], ["t.cnnir", "--train"], ["t.cnnir", "--emit=asm"], ["run", "t.cnnir"], ["info", "t.cnnir", "--train"],
                         ["bench", "t.cnnir"], ["verify", "t.cnnir"], ["train", "t.cnnir", "--data", "idx"]):
                with self.subTest(stop=stop, args=args):
                    r = subprocess.run([CNNC, *args], cwd=self.dir, capture_output=True, text=True)
                    self.assertEqual((r.returncode, r.stderr), (1, "t.cnnir: error: this is a dump of the training pipeline, which "
                                     "is for reading [training-dump]\n  hint: start from the model: cnnc MODEL --train --recipe "
                                     "R.json, or cnnc train MODEL\n"))
        subprocess.run([CNNC, "t.cnnir", "--passes=", "--emit=loops", "-q", "-o", "again.cnnir"], cwd=self.dir, check=True)
        self.assertEqual(self.bytes("again.cnnir"), self.bytes("t.cnnir"))


if __name__ == "__main__":
    unittest.main()
