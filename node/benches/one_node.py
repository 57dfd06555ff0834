"""A node for the programs beside this file, which measure it."""

import json
import os
import re
import signal
import subprocess
import sys
import time


class Node:
    """A node on a folder of its own, started and stopped by hand."""

    def __init__(self, weir, data):
        started = time.monotonic()
        command = [weir, "node", "--data", data, "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        self.start_seconds = time.monotonic() - started
        ready = re.match(r"ready (\S+)", line) or sys.exit(f"the node on {data} did not start; look at its log")
        self.client = [weir, "--bootstrap", ready.group(1), "--certs", os.path.join(data, "certs")]

    def call(self, *arguments, **how):
        subprocess.run([*self.client, *arguments], check=True, stdout=subprocess.DEVNULL, **how)

    def ask(self, *arguments):
        done = subprocess.run([*self.client, *arguments, "--output", "json"], check=True, capture_output=True, text=True)
        return json.loads(done.stdout.strip().splitlines()[-1])

    def place(self):
        """Where `weir bench` finds it."""
        _, _, address, _, certs = self.client
        return ["--node", address, "--node-pid", str(self.process.pid), "--certs", certs]

    def resident_kb(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=120)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
