# SPDX-License-Identifier: BSD-3-Clause
"""What the tests on mounted devices stand on.

A test is a script:

    def test(space): ...
    ovltest.main(test)

main() moves into a mount namespace of its own, so that no mount outlives the
test however it ends; loop devices are of the kind that the kernel frees with
the mount, and the servers are told to end with us. `space` is a Workspace: a
fresh directory and everything that was started in it.

Exit status: 0 passed, 1 failed, 77 skipped (not root, no fuse).
Environment: OVL_BUILD_DIR (default: build), OVL_KEEP=1 keeps the directory of
a test that failed, TMPDIR.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

SKIPPED = 77
REPO = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("OVL_BUILD_DIR", REPO / "build")).resolve()
PLUGIN = BUILD / "ovl.so"
TREEDUMP = BUILD / "tests" / "treedump"


class Failure(Exception):
    """The test found what it is there to find."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def say(text):
    print(text, flush=True)


def run(*command, **options):
    """Runs a command that must succeed; returns its standard output."""
    done = subprocess.run([str(c) for c in command], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **options)
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))}: exit status "
                      f"{done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds} s in vain for {what}")
        time.sleep(0.01)


def skip(reason):
    say(f"SKIPPED: {reason}")
    sys.exit(SKIPPED)


def start_process(command, user=None, **options):
    """A child that gets SIGTERM when this process ends."""
    change = ["--reuid", str(user), "--regid", str(user),
              "--clear-groups"] if user is not None else []
    return subprocess.Popen(
        ["setpriv", *change, "--pdeathsig", "TERM", *map(str, command)],
        stdin=subprocess.DEVNULL, **options)


class Workspace(contextlib.ExitStack):
    """A fresh directory, `path`; what is entered into it ends before it."""

    def __init__(self, name):
        super().__init__()
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=f"ovltest-{name}-"))
        self.path.chmod(0o755)
        self.failed = False
        self.callback(self._remove)
        self._count = 0

    def dir(self, name):
        """The directory of that name, made when it is not there."""
        made = self.path / name
        made.mkdir(parents=True, exist_ok=True)
        return made

    def fresh(self, kind):
        self._count += 1
        return self.dir(f"{kind}.{self._count}")

    def _remove(self):
        if self.failed and os.environ.get("OVL_KEEP"):
            say(f"kept: {self.path}")
            return
        # rm, because it copes with names and depths that rmtree does not.
        subprocess.run(["rm", "-rf", "--one-file-system", self.path],
                       check=False)


class Server:
    """nbdkit with a plugin on a socket; `with` starts and stops it."""

    def __init__(self, space, *params, plugin=PLUGIN, options=(), as_user=None):
        self.space = space
        self.where = space.fresh("server")
        self.socket = self.where / "sock"
        self.log_path = self.where / "log"
        self.process = None
        if as_user is not None:
            os.chown(self.where, as_user, as_user)
        self.user = as_user
        self.command = ["nbdkit", "-f", "-U", self.socket, "-P",
                        self.where / "pid", *options, plugin, *params]

    def start(self, seconds=300):
        with open(self.log_path, "ab") as log:
            self.process = start_process(self.command, self.user, stdout=log,
                                         stderr=log)
        ready = self.where / "pid"
        wait_until(lambda: ready.exists() or self.process.poll() is not None,
                   seconds, "nbdkit to be ready")
        check(self.process.poll() is None,
              f"nbdkit did not start:\n{self.log()}")
        return self

    def log(self):
        return self.log_path.read_text(errors="replace")

    @property
    def uri(self):
        return f"nbd+unix:///?socket={self.socket}"

    @property
    def pid(self):
        return self.process.pid

    def _end(self, how, seconds):
        self.process.send_signal(how)
        status = self.process.wait(seconds)
        for name in ("pid", "sock"):
            (self.where / name).unlink(missing_ok=True)
        self.process = None
        return status

    def stop(self, seconds=600):
        """Ends it the normal way, with write-back; returns the exit status."""
        return self._end(signal.SIGTERM, seconds)

    def kill(self):
        return self._end(signal.SIGKILL, 60)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if self.process is None:
            return
        status = self.stop()
        if kind is None:
            check(status == 0, f"nbdkit: exit status {status}\n{self.log()}")

    def explain(self):
        return f"log of nbdkit ({' '.join(map(str, self.command))}):\n" \
            + self.log()

    @contextlib.contextmanager
    def as_file(self, readonly=False):
        """The device as a file, through nbdfuse."""
        where = self.space.fresh("nbdfuse")
        with open(self.where / "nbdfuse-log", "ab") as log:
            fuse = start_process(
                ["nbdfuse", *(["-r"] if readonly else []), where, "--unix",
                 self.socket], stdout=log, stderr=log)
        try:
            wait_until(lambda: (where / "nbd").exists() or
                       fuse.poll() is not None, 60, "nbdfuse")
            check(fuse.poll() is None, "nbdfuse ended\n" + self.explain())
            yield where / "nbd"
        finally:
            unmount(where)
            fuse.wait(60)
            where.rmdir()

    @contextlib.contextmanager
    def mounted(self, fs_type="ext4", options=""):
        """The file system mounted by the kernel: a path."""
        where = self.space.fresh("guest")
        readonly = "ro" in options.split(",")
        with self.as_file(readonly) as device:
            run("mount", "-t", fs_type, "-o", ",".join(
                filter(None, ["loop", options])), device, where)
            try:
                yield where
            finally:
                unmount(where)
                where.rmdir()

    def fsck(self):
        """e2fsck -fn finds nothing."""
        with self.as_file(readonly=True) as device:
            fsck(device)


def refusal(*parameters, options=(), user=None):
    """The one line with which nbdkit refuses to start."""
    with start_process(
            ["nbdkit", "-f", "-U", "-", *options, PLUGIN, *parameters,
             "--run", "echo served"], user, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE) as nbdkit:
        output, errors = nbdkit.communicate(timeout=60)
    check(nbdkit.returncode != 0 and "served" not in output,
          f"it was served; stderr:\n{errors}")
    lines = errors.strip().splitlines()
    check(len(lines) == 1, f"not one line of error:\n{errors}")
    return lines[0]


def fsck(device):
    done = subprocess.run(["e2fsck", "-fn", str(device)], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    check(done.returncode == 0,
          f"e2fsck -fn: exit status {done.returncode}\n{done.stdout}")


def is_mounted(where):
    """Asks the kernel, not the file system, whose server may be dead."""
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return str(where) in (line.split(" ")[4] for line in mounts)


def unmount(where):
    """Unmounts, waiting for the kernel to let go of a loop device."""
    if not is_mounted(where):
        return
    for _ in range(500):
        done = subprocess.run(["umount", str(where)], text=True,
                              stderr=subprocess.PIPE)
        if done.returncode == 0:
            return
        time.sleep(0.02)
    subprocess.run(["umount", "-l", str(where)], check=False)
    raise Failure(f"umount: {done.stderr}")


def escape_layer(path):
    """A path as mount -t overlay takes it in lowerdir."""
    return str(path).replace("\\", "\\\\").replace(":", "\\:")


@contextlib.contextmanager
def overlay(space, lowers, upper=None, work=None, options=""):
    """The kernel's overlay. Without `work` it is mounted read-only, with upper
    as the topmost lower layer, and writes nothing."""
    where = space.fresh("overlay")
    layers = [*([upper] if upper and not work else []), *lowers]
    if len(layers) == 1:  # the kernel wants two, or an upper
        layers.append(space.dir("empty-layer"))
    chosen = ["lowerdir=" + ":".join(map(escape_layer, layers))]
    if work:
        chosen += [f"upperdir={upper}", f"workdir={work}"]
    else:
        chosen.append("ro")
    run("mount", "-t", "overlay", "overlay", "-o",
        ",".join(filter(None, [*chosen, options])), where)
    try:
        yield where
    finally:
        unmount(where)
        where.rmdir()


def copy_tree(source, target):
    """A copy with everything: links, owners, times, xattrs, holes. Names that
    the kernel's overlay lists and then does not find are left out."""
    done = subprocess.run(["cp", "-a", "--sparse=always", "-T", source, target],
                          text=True, stderr=subprocess.PIPE)
    lines = done.stderr.strip().split("\n")
    only_not_found = all(line.startswith("cp: cannot stat ") and
                         line.endswith(": No such file or directory")
                         for line in lines)
    check(done.returncode == 0 or only_not_found, f"cp: {done.stderr}")
    return target


def _enter_namespace():
    if os.geteuid() != 0:
        skip("this test mounts file systems: it needs root")
    if not os.path.exists("/dev/fuse"):
        skip("this test needs /dev/fuse")
    if os.environ.get("OVLTEST_NAMESPACE") == "1":
        return
    if subprocess.run(["unshare", "-m", "true"]).returncode != 0:
        skip("this test needs a mount namespace: root is not privileged here")
    os.environ["OVLTEST_NAMESPACE"] = "1"
    os.execvp("unshare", ["unshare", "-m", "--propagation", "private",
                          sys.executable, *sys.argv])


def _remove_leftovers():
    """Directories of runs that were killed: of processes that are no more."""
    for left in pathlib.Path(tempfile.gettempdir()).glob("ovltest-*"):
        owner = left / "owner.pid"
        with contextlib.suppress(OSError, ValueError):
            if not os.path.exists(f"/proc/{int(owner.read_text())}") \
                    and not os.environ.get("OVL_KEEP"):
                shutil.rmtree(left, ignore_errors=True)


def main(test, *args, needs_root=True):
    """Runs test(space, *args) and exits."""
    if needs_root:
        _enter_namespace()
    if not PLUGIN.exists() or not TREEDUMP.exists():
        say(f"FAILED: build first: no ovl.so or treedump in {BUILD}")
        sys.exit(1)
    _remove_leftovers()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.umask(0o022)
    name = pathlib.Path(sys.argv[0]).stem
    with Workspace(name) as space:
        (space.path / "owner.pid").write_text(str(os.getpid()))
        try:
            test(space, *args)
        except Failure as failure:
            space.failed = True
            say(f"FAILED: {failure}")
            sys.exit(1)
        except Exception:
            space.failed = True
            say(f"FAILED:\n{traceback.format_exc()}")
            sys.exit(1)
    say(f"PASSED: {name}")
