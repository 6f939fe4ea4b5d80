"""The MQTT broker of the platform, with users and passwords as there; anonymous clients are refused."""

import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.environment import scrubbed
from local.services.program import Program, ServiceError, find_program

_REMEDY = "apt-get install mosquitto"
_CONNECT_SECONDS = 0.5


class Mosquitto(Program):
    """A broker on 127.0.0.1 that publishes its ``$SYS`` totals every second.

    Parameters
    ----------
    folder:
        keeps ``mosquitto.log``, ``mosquitto.conf``, ``mosquitto.passwords`` and the persisted messages.
    users:
        user name → password; the first of them is `username`, `password`.
    persistence:
        keep sessions and retained messages over a restart (the ``$SYS`` totals start at 0 all the same).
    sys_interval:
        seconds between two rounds of ``$SYS`` messages.
    settings:
        further lines of the configuration, for the listener (``certfile …``) or the broker (``acl_file …``).
    """

    name = "mosquitto"

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        users: Mapping[str, str] | None = None,
        persistence: bool = False,
        sys_interval: int = 1,
        settings: Sequence[str] = (),
    ) -> None:
        super().__init__(folder, port)
        self.users = dict(users or {"platform": "platform-password"})
        self.persistence = persistence
        self.sys_interval = sys_interval
        self.settings = list(settings)

    @property
    def username(self) -> str:
        """The first user's name."""
        return next(iter(self.users))

    @property
    def password(self) -> str:
        """The first user's password."""
        return self.users[self.username]

    def _prepare(self) -> None:
        passwords = self.folder / "mosquitto.passwords"
        passwords.touch(mode=0o600)
        passwords.write_text("".join(f"{user}:{password}\n" for user, password in self.users.items()))
        # Hashing the file in place keeps the passwords off a command line that every user can read.
        subprocess.run(
            [find_program("mosquitto_passwd", _REMEDY), "-U", passwords],
            check=True,
            env=scrubbed({}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous false",
            f"password_file {passwords}",
            f"sys_interval {self.sys_interval}",
            "log_dest stderr",
            "log_timestamp_format %Y-%m-%dT%H:%M:%S",
            f"persistence {'true' if self.persistence else 'false'}",
            f"persistence_location {self.folder}/",
            *self.settings,
        ]
        if os.geteuid() == 0:
            # Started by root it would change to its own account, which cannot read the folder.
            lines.append("user root")
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def _command(self) -> Sequence[str]:
        return [str(find_program("mosquitto", _REMEDY)), "-c", str(self.folder / "mosquitto.conf")]

    def _answers(self) -> bool:
        # A bare connection adds no byte to the broker's totals, so tests may count from 0.
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=_CONNECT_SECONDS):
                return True
        except ConnectionRefusedError:
            return False

    def log_says(self, text: str) -> bool:
        """Whether the broker's log holds ``text``; `ServiceError` before the first start."""
        if not self.log.exists():
            raise ServiceError("mosquitto has not been started")
        return text in self.log.read_text(errors="replace")
