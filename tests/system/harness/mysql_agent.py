"""The helper process behind mysql.MysqlClient: an application with a PyMySQL connection or a
pool."""

import time
from typing import Any

import pymysql

from . import options
from .mariadb import PASSWORD, USER
from .orders import rename, serve


class Application:
    """An ordinary application with one connection, or with one pool."""

    def __init__(self) -> None:
        self.connection: Any = None
        self.engine: Any = None
        self.sock: Any = None

    def open(self, host: str, port: int) -> int:
        """Opens a PyMySQL connection. Returns the server's id of it."""
        self.connection = pymysql.connect(host=host, port=port, user=USER, password=PASSWORD,
                                          connect_timeout=5)
        self.sock = self.connection._sock
        return self.connection_id()

    def open_pool(self, host: str, port: int) -> int:
        """Opens a SQLAlchemy pool and uses one connection of it. Returns the server's id of
        that."""
        import sqlalchemy  # slow, so only where it is needed

        url = sqlalchemy.engine.URL.create("mysql+pymysql", USER, PASSWORD, host, port)
        self.engine = sqlalchemy.create_engine(url, connect_args={"connect_timeout": 5})
        return self.connection_id()

    def connection_id(self) -> int:
        """Asks the server for the id of the connection: a query like any other."""
        if self.engine:
            with self.engine.connect() as connection:
                self.sock = connection.connection.connection._sock
                return connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar()
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT CONNECTION_ID()")
            return cursor.fetchone()[0]

    def query(self) -> dict[str, Any]:
        """Makes the same query. Returns how it went and how long it took."""
        start = time.monotonic()
        outcome: dict[str, Any] = {"id": None, "error": None, "message": None}
        try:
            outcome["id"] = self.connection_id()
        except Exception as error:  # pylint: disable=broad-except
            # SQLAlchemy wraps PyMySQL's exceptions.
            said = getattr(error, "orig", error)
            if not isinstance(said, pymysql.err.Error):
                raise
            outcome["error"] = said.args[0]
            outcome["message"] = f"{type(said).__name__}: {said}"
        outcome["seconds"] = time.monotonic() - start
        return outcome

    def settings(self) -> options.Settings:
        """Returns the keepalive options of its connection."""
        return options.read(self.sock)

    def ends(self) -> list[Any]:
        """Returns local and peer address of its connection."""
        return [self.sock.getsockname()[:2], self.sock.getpeername()[:2]]


def main() -> None:
    """Serves the orders."""
    application = Application()
    serve({order.__name__: order for order in (
        application.open, application.open_pool, application.query, application.settings,
        application.ends, rename)})


if __name__ == "__main__":
    main()
