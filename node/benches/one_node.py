"""A node for the programs beside this file, which measure it."""

import json
import os
import re
import signal
import subprocess
import sys
import time

from report import process_seconds


class Node:
    """A node on a folder of its own, started and stopped by hand."""

    def __init__(self, weir, data, *flags, listen="127.0.0.1:0", certs=None, log=subprocess.DEVNULL):
        started = time.monotonic()
        certs = certs or os.path.join(data, "certs")
        command = [weir, "node", "--data", data, "--listen", listen, "--certs", certs, *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        self.start_seconds = time.monotonic() - started
        ready = re.match(r"ready (\S+)", line) or sys.exit(f"the node on {data} did not start; look at its log")
        self.address = ready.group(1)
        self.client = [weir, "--bootstrap", self.address, "--certs", certs]

    def call(self, *arguments, **how):
        subprocess.run([*self.client, *arguments], check=True, stdout=subprocess.DEVNULL, **how)

    def ask(self, *arguments):
        done = subprocess.run([*self.client, *arguments, "--output", "json"], check=True, capture_output=True, text=True)
        return json.loads(done.stdout.strip().splitlines()[-1])

    def place(self):
        """Where `weir bench` finds it."""
        return ["--node", self.address, "--node-pid", str(self.process.pid), "--certs", self.client[-1]]

    def resident_kb(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def cpu_seconds(self):
        return process_seconds(self.process.pid)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=120)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
