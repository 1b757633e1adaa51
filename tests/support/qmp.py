# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's monitor: commands, and the events that tell of their end."""
import json

from ovltest import Failure


class Qmp:
    """Speaks QMP on a connected socket, which it takes over."""

    def __init__(self, connected, seconds=60):
        connected.settimeout(seconds)
        self._socket = connected
        self._lines = connected.makefile("r")
        self._events = []
        self._next()  # the greeting
        self.execute("qmp_capabilities")

    def _next(self):
        line = self._lines.readline()
        if not line:
            raise ConnectionResetError("QEMU ended")
        return json.loads(line)

    def execute(self, command, **arguments):
        """What the command returns; it must succeed."""
        request = {"execute": command, "arguments": arguments}
        self._socket.sendall(json.dumps(request).encode())
        while True:
            message = self._next()
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise Failure(f"QEMU: {command}: {message['error']['desc']}")
            self._events.append(message)

    def wait_for(self, event, **data):
        """Takes the first such event whose data have these values."""
        while True:
            for number, message in enumerate(self._events):
                if message["event"] == event and \
                        data.items() <= message["data"].items():
                    return self._events.pop(number)
            self._events.append(self._next())

    def close(self):
        self._lines.close()
        self._socket.close()
