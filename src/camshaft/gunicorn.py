# SPDX-License-Identifier: MIT
"""A worker for gunicorn: `gunicorn -k camshaft.gunicorn.Worker app.main:app`.

gunicorn keeps the master: its listeners, signals, hooks, time limits. What a worker does is our
server's. Read: gunicorn 27's workers/base.py and arbiter.py. Which settings have a meaning here
stands in docs/deploy.md.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from typing import Any, ClassVar, NoReturn

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker as BaseWorker

from camshaft._core import expect_bodies
from camshaft.config import Config
from camshaft.server.server import Server
from camshaft.server.signals import captured
from camshaft.server.tls import TlsError
from camshaft.settings import ConfigError

# Seconds of graceful_timeout that are left for the application's shutdown: the master kills at the
# end of it.
_RESERVE = 2.0

# Most seconds between two heartbeats.
_HEARTBEAT = 5.0


class Worker(BaseWorker):  # type: ignore[misc]
    """One process of gunicorn's, with our server in it.

    A subclass may set more of the server: CONFIG_KWARGS are settings of camshaft.Config, and win.
    """

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.server: Server | None = None
        self.config: Config

    def init_process(self) -> None:
        # In the process of the worker, whose loggers are its own.
        self._share_log("uvicorn.error", self.log.error_log)
        self._share_log("uvicorn.access", self.log.access_log)
        try:
            self.config = Config(**(self._settings() | self.CONFIG_KWARGS))
        except ConfigError as error:
            self._cannot_boot(error)
        super().init_process()

    def _cannot_boot(self, error: Exception) -> NoReturn:
        """Have the master stop, rather than start one worker after the other."""
        self.log.error("%s", error)
        sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def _share_log(self, name: str, log: logging.Logger) -> None:
        """Have a logger of the server write where gunicorn's does, unless it is set up itself."""
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.handlers = log.handlers
            logger.setLevel(log.level)
            logger.propagate = log.propagate

    def _settings(self) -> dict[str, Any]:
        """Return what gunicorn's settings mean for Config.

        Its limits on requests are heeded if they are not its defaults, which are made for WSGI:
        ours are described in docs/server/limits.md.
        """
        cfg = self.cfg
        grace = float(cfg.graceful_timeout)
        settings: dict[str, Any] = {
            "app": None,
            "log_config": None,
            "access_log": logging.getLogger("uvicorn.access").hasHandlers(),
            "backlog": cfg.backlog,
            "timeout_keep_alive": cfg.keepalive,
            "timeout_graceful_shutdown": max(grace / 2, grace - _RESERVE),
            "limit_max_requests": self.max_requests if cfg.max_requests > 0 else None,
            "forwarded_allow_ips": cfg.forwarded_allow_ips,
        }
        for theirs, ours in (
            ("limit_request_line", "limit_request_line"),
            ("limit_request_fields", "limit_header_count"),
            ("limit_request_field_size", "limit_header_line"),
            ("worker_connections", "limit_connections"),
            ("websocket_max_message_size", "ws_max_size"),
            ("asgi_lifespan", "lifespan"),
            ("root_path", "root_path"),
        ):
            # Older ones have not all of them.
            setting = cfg.settings.get(theirs)
            # 0 is no limit of its own: the head's remains.
            if setting is not None and setting.value != type(setting).default:
                settings[ours] = setting.value or Config.table["limit_header_bytes"].default
        if cfg.access_log_format != type(cfg.settings["access_log_format"]).default:
            # With its default, lines are uvicorn's, as with uvicorn's own worker.
            settings["access_log_format"] = cfg.access_log_format
        if str(cfg.proxy_protocol) not in ("off", "False"):
            settings["proxy_protocol"] = True
            settings["proxy_allow_from"] = cfg.proxy_allow_ips
        if cfg.is_ssl:
            settings |= self._tls()
        return settings

    def _tls(self) -> dict[str, Any]:
        options = self.cfg.ssl_options
        settings: dict[str, Any] = {
            f"ssl_{name}": options.get(name)
            for name in ("keyfile", "certfile", "cert_reqs", "ca_certs", "ciphers")
        }
        hook = self.cfg.settings.get("ssl_context")
        if hook is not None and hook.value is not type(hook).default:
            settings["ssl_context_factory"] = lambda _, made: self.cfg.ssl_context(self.cfg, made)
        return settings

    def init_signals(self) -> None:
        """Until the server handles them, signals have their default actions, but gunicorn's own."""
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, self.handle_quit)
        signal.signal(signal.SIGQUIT, self.handle_quit)
        signal.signal(signal.SIGUSR1, self.handle_usr1)
        signal.signal(signal.SIGABRT, self.handle_abort)
        signal.signal(signal.SIGWINCH, signal.SIG_IGN)
        signal.siginterrupt(signal.SIGUSR1, False)

    def run(self) -> None:
        """Serve until a signal, or the last of max_requests. Exits if it could not start."""
        self.config.app = self.wsgi
        self.server = _Server(self.config, self)
        expect_bodies()  # the process is the server's
        with asyncio.Runner(loop_factory=self.config.get_loop_factory()) as runner:
            try:
                runner.run(self._serve(self.server))
            except TlsError as error:
                self._cannot_boot(error)
        if not self.server.started and not self.server.should_exit:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def _serve(self, server: Server) -> None:
        heart = asyncio.ensure_future(self._beat(server))
        loop = asyncio.get_running_loop()
        # What --reload writes to, from its thread.
        loop.add_reader(self.PIPE[0], self._reloaded, server)
        try:
            await server.serve([_own(each) for each in self.sockets])
        finally:
            heart.cancel()
            loop.remove_reader(self.PIPE[0])

    async def _beat(self, server: Server) -> None:
        """Tell the master that the loop turns, from start-up to the end of the shutdown.

        It is the loop that does, so that a blocked one is found out; and it does so while requests
        end, because they may be given longer than the master's timeout.
        """
        interval = min(self.timeout / 2, _HEARTBEAT) if self.timeout else _HEARTBEAT
        while True:
            self.notify()
            if self.ppid != os.getppid() and not server.should_exit:
                self.log.info("Parent changed, shutting down: %s", self)
                server.should_exit = True
            await asyncio.sleep(interval)

    def _reloaded(self, server: Server) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.PIPE[0], 4096)
        if not self.alive:
            server.should_exit = True

    def quit_server(self) -> None:
        """End without waiting for requests; the application is shut down nevertheless."""
        assert self.server is not None
        self.alive = False
        self.cfg.worker_int(self)
        if self.server.should_exit:
            self.server.force_exit = True
        self.config.timeout_graceful_shutdown = 0
        self.server.should_exit = True

    def handle_abort(self, number: int, frame: Any) -> None:
        """Say where the worker is, and end: the master aborts what has not answered in time.

        Not by SystemExit, which would be one more exception of the application that is in the way.
        """
        stack = "".join(traceback.format_stack(frame)).rstrip()
        self.log.critical("Worker aborted (pid:%s) at:\n%s", self.pid, stack)
        self.alive = False
        try:
            self.cfg.worker_abort(self)
        finally:
            logging.shutdown()
            os._exit(1)


class _Server(Server):
    """The server, with the signals of a worker of gunicorn's."""

    def __init__(self, config: Config, worker: Worker) -> None:
        super().__init__(config)
        self._worker = worker

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals that the master sends; the end is the process's usual one.

        TERM waits for requests, INT and QUIT do not. USR1 opens the logs anew; HUP, which a master
        keeps to itself, has the certificate read anew.
        """
        worker = self._worker
        others: dict[signal.Signals, Any] = {
            signal.SIGQUIT: worker.quit_server,
            signal.SIGUSR1: worker.log.reopen_files,
        }
        if self.config.is_ssl:
            others[signal.SIGHUP] = self.renew_certificate
        with captured(self.handle_exit, others):
            yield

    def handle_exit(self, sig: signal.Signals, frame: object = None) -> None:
        if sig == signal.SIGINT:
            self._worker.quit_server()
        else:
            self.should_exit = True


def _own(sock: Any) -> socket.socket:
    """Return a socket of ours for one of gunicorn's, which it wraps."""
    return socket.socket(fileno=os.dup(sock.fileno()))
