"""`am-inseq daemon start|stop|status|logs`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import attrs
from rich.table import Table
from rich.text import Text

from am_inseq_daemon.cli.backend import daemon, running_daemon
from am_inseq_daemon.cli.consoles import output_console, write_error, write_line
from am_inseq_daemon.cli.failure import ExitCode, Failure
from am_inseq_daemon.transport.endpoint import last_lines, locate

if TYPE_CHECKING:
    import argparse

    from am_inseq_daemon.cli.arguments import Commands
    from am_inseq_daemon.protocol.types import DaemonStatusResult

_NOT_RUNNING: Final = "no daemon is running; start it with am-inseq daemon start"
_MEBIBYTE: Final = 2**20


def add_parser(commands: Commands) -> None:
    """Declares the command and its four actions."""
    actions = commands.add("daemon", help="the process that keeps models loaded").commands("ACTION")
    start = actions.add("start", help="start it unless it runs")
    start.add_argument("--json", action="store_true", help="one line of JSON")
    start.set_defaults(run=run_start)
    stop = actions.add("stop", help="end it and free its models")
    stop.add_argument("--json", action="store_true", help="one line of JSON")
    stop.set_defaults(run=run_stop)
    status = actions.add("status", help="what it holds and does")
    status.add_argument("--json", action="store_true", help="one line of JSON")
    status.set_defaults(run=run_status)
    logs = actions.add("logs", help="the last lines of its log")
    logs.add_argument("-n", type=int, default=50, metavar="N", dest="lines", help="how many lines")
    logs.add_argument("--json", action="store_true", help="a list of lines, as JSON")
    logs.set_defaults(run=run_logs)


def run_start(arguments: argparse.Namespace) -> ExitCode:
    """Starts the daemon, or finds it running."""
    was_running = running_daemon()
    if was_running is not None:
        was_running.close()
    with daemon() as client:
        server, socket = client.server, client.endpoint.socket
    if arguments.json:
        found = {"pid": server.pid, "socket": str(socket), "version": server.server.version}
        write_line(json.dumps(found))
    else:
        verb = "runs already" if was_running is not None else "started"
        write_line(f"daemon {verb}: process {server.pid}, {socket}")
    return ExitCode.OK


def run_stop(arguments: argparse.Namespace) -> ExitCode:
    """Ends the daemon; that none runs is no failure."""
    client = running_daemon()
    if client is not None:
        client.stop()
    pid = None if client is None else client.server.pid
    if arguments.json:
        write_line(json.dumps({"stopped": pid}))
    else:
        is_none = "no daemon is running"
        write_line(is_none if pid is None else f"daemon stopped: process {pid}")
    return ExitCode.OK


def run_status(arguments: argparse.Namespace) -> ExitCode:
    """Prints what the daemon holds and does."""
    client = running_daemon()
    if client is None:
        if arguments.json:
            write_line(json.dumps({"running": False}))
        else:
            write_error(_NOT_RUNNING)
        return ExitCode.NO_DAEMON
    with client:
        status = client.status()
    if arguments.json:
        write_line(json.dumps({"running": True, **attrs.asdict(status)}))
    else:
        print_status(status)
    return ExitCode.OK


def run_logs(arguments: argparse.Namespace) -> ExitCode:
    """Prints the end of the log, also of a daemon that has ended."""
    if arguments.lines < 1:
        raise Failure(f"-n is at least 1, not {arguments.lines}")
    log = locate().log
    lines = last_lines(log, arguments.lines)
    if not lines:
        raise Failure(f"there is no log at {log}; {_NOT_RUNNING}", ExitCode.NO_DAEMON)
    if arguments.json:
        write_line(json.dumps(lines))
        return ExitCode.OK
    for line in lines:
        write_line(line)
    return ExitCode.OK


def print_status(status: DaemonStatusResult) -> None:
    """The status for people."""
    console = output_console()
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    memory = f", {_size(status.memory_bytes)}" if status.memory_bytes is not None else ""
    facts.add_row("process", f"{status.pid}, up {_time(status.uptime_seconds)}{memory}")
    facts.add_row("version", f"{status.version}, protocol {status.protocol_version}")
    facts.add_row("clients", f"{status.clients}, {status.queue_length} requests waiting")
    facts.add_row("socket", Text(status.socket))
    facts.add_row("log", Text(status.log))
    if status.last_error:
        facts.add_row("last error", Text(status.last_error))
    for model in status.models:
        parts = [f"{model.model} on {model.device}: {model.state}"]
        parts += [_size(model.memory_bytes)] if model.memory_bytes is not None else []
        parts += [f"process {model.pid}"] if model.pid is not None else []
        parts += [f"idle {_time(model.idle_seconds)}"] if model.state == "ready" else []
        parts += [model.last_error] if model.last_error else []
        facts.add_row("model", Text(", ".join(parts)))
    if not status.models:
        facts.add_row("models", "none loaded")
    console.print(facts)


def _size(count: int) -> str:
    return f"{count / _MEBIBYTE:.0f} MiB"


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min"
        if hours
        else f"{minutes} min {rest} s"
        if minutes
        else f"{rest} s"
    )
