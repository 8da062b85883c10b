"""A process that plays steps on the data, and is really killed.

It is forked, so that it needs no address; it opens storages anew, and reports each step that was
done over a pipe. Nothing that was open in this process may be open when it is forked.
"""

import multiprocessing
import os
import signal
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

import spry_sqla as spry
from spry_conformance.adapter import Adapter
from spry_conformance.lab import SECONDS, Broken, Lab
from spry_conformance.steps import HandleMany


def play_until_killed(
    adapter: Adapter,
    domain: spry.Domain,
    batches: Sequence[HandleMany],
    *,
    reports: int,
    spins: int,
) -> int:
    """Play batches in a process, and kill it after so many reports and turns of an empty loop.

    Answers how many batches were reported as done. Raises Broken where the process fails by itself.
    """
    reader, writer = multiprocessing.Pipe(duplex=False)
    with warnings.catch_warnings():
        # Python 3.12 warns of threads: the child uses nothing of theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        reader.close()
        _play(adapter, domain, batches, writer)
    writer.close()
    done = 0
    try:
        while done < reports and _told(reader):
            done += 1
        for _ in range(spins):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise Broken("the process that handles commands failed by itself; it has told why above")
    while _told(reader):
        done += 1
    reader.close()
    return done


def _told(reader: Connection) -> bool:
    if not reader.poll(SECONDS):
        raise Broken(f"the process that handles commands did nothing for {SECONDS:g} s")
    with suppress(EOFError):
        reader.recv_bytes()
        return True
    return False


def _play(
    adapter: Adapter, domain: spry.Domain, batches: Sequence[HandleMany], writer: Connection
) -> None:
    status = 1
    try:
        lab = Lab(adapter)  # not entered: the data stay
        lab.domain = domain
        for batch in batches:
            lab.do(batch)
            writer.send_bytes(b".")
        status = 0
    except BaseException:  # noqa: BLE001  (there is nobody whom it could reach)
        traceback.print_exc()
    finally:
        # Neither pytest nor hypothesis may go on in here.
        os._exit(status)
