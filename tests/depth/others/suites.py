"""The test suites of others: how each is run, and what it says of its cases."""

import json
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Results = dict[str, str]  # "passed", "failed" or "skipped" by the name of the case

# A MariaDB server with what the suites of its clients expect.
_MARIADB = """
mkdir -p /tmp/db /run/mysqld
mariadb-install-db --no-defaults --user=root --datadir=/tmp/db --skip-test-db \
    --auth-root-authentication-method=normal > /dev/null
mariadbd --no-defaults --user=root --datadir=/tmp/db --socket=/run/mysqld/mysqld.sock --port=3306 \
    --local-infile=1 --character-set-server=utf8mb4 > /tmp/mariadb.log 2>&1 &
for i in $(seq 100); do mariadb-admin --no-defaults -S /run/mysqld/mysqld.sock ping > /dev/null 2>&1 && break; sleep 0.3; done
mariadb --no-defaults -S /run/mysqld/mysqld.sock -e "
    CREATE DATABASE test1 CHARACTER SET utf8mb4; CREATE DATABASE test2 CHARACTER SET utf8mb4;
    CREATE DATABASE test CHARACTER SET utf8mb4; CREATE DATABASE test_schema CHARACTER SET utf8mb4;
    CREATE USER scott@'%' IDENTIFIED BY 'tiger'; GRANT ALL ON *.* TO scott@'%';
    CREATE USER scott@localhost IDENTIFIED BY 'tiger'; GRANT ALL ON *.* TO scott@localhost"
"""
# What SQLAlchemy's README.dialects.rst says to write: its tests of a dialect come with the library.
_SQLALCHEMY = """
cat > /tmp/setup.cfg <<END
[sqla_testing]
requirement_cls=requirements:Requirements
profile_file=profiles.txt
END
cat > /tmp/requirements.py <<END
from sqlalchemy.testing.requirements import SuiteRequirements
class Requirements(SuiteRequirements):
    pass
END
cat > /tmp/conftest.py <<END
from sqlalchemy.dialects import registry
import pytest
pytest.register_assert_rewrite("sqlalchemy.testing.assertions")
from sqlalchemy.testing.plugin.pytestplugin import *
END
echo "from sqlalchemy.testing.suite import *" > /tmp/test_suite.py
"""
_POSTGRES = """
mkdir -p /tmp/pg && chown postgres /tmp/pg
runuser -u postgres -- /usr/lib/postgresql/15/bin/initdb -A trust -D /tmp/pg/data > /dev/null
runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_ctl -D /tmp/pg/data -w -l /tmp/pg/log \
    -o '-c unix_socket_directories=/tmp/pg -c max_prepared_transactions=10' start > /dev/null
runuser -u postgres -- createdb -h 127.0.0.1 psycopg2_test
"""
_CPYTHON = ("test_socket test_asyncio test_ssl test_httplib test_httpservers test_ftplib "
            "test_socketserver test_smtplib test_poplib test_imaplib test_telnetlib "
            "test_urllib2_localnet test_xmlrpc test_selectors test_epoll test_asyncore")
_GO = "net net/http net/http/httptest net/http/httputil net/rpc net/smtp net/textproto crypto/tls"
_NODE = ("'parallel/test-net-*' 'parallel/test-http-*' 'parallel/test-https-*' 'parallel/test-tls-*' "
         "'parallel/test-http2-*' 'parallel/test-cluster-*'")
_MTR = ("connect|wait_timeout|_timeout|timeout_|kill|ssl|compress|bind_address|init_connect|max_conn|"
        "net_|heartbeat|semi_sync|rpl_row_(basic|img)|rpl_stop|rpl_start|rpl_connection|reconnect|"
        "processlist|shutdown|skip_name|aborted|packet|thread_pool")


def _junit(folder: str) -> Results:
    found: Results = {}
    for case in ET.parse(os.path.join(folder, "result.xml")).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        name = ".".join(filter(None, (case.get("classname"), case.get("name"))))
        found[name] = ("failed" if kinds & {"failure", "error"} else
                       "skipped" if "skipped" in kinds else "passed")
    return found


def _go(folder: str) -> Results:
    found: Results = {}
    words = {"pass": "passed", "fail": "failed", "skip": "skipped"}
    with open(os.path.join(folder, "output"), encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and event.get("Test") and event.get("Action") in words:
                found[f"{event['Package']}:{event['Test']}"] = words[event["Action"]]
    return found


def _tap(folder: str) -> Results:
    found: Results = {}
    with open(os.path.join(folder, "output"), encoding="utf-8", errors="replace") as file:
        for line in file:
            match = re.match(r"(not )?ok \d+ (\S+)( # (?:skip|SKIP))?", line)
            if match:
                found[match[2]] = "skipped" if match[3] else "failed" if match[1] else "passed"
    return found


@dataclass(frozen=True)
class Suite:
    """A suite. `command` is for sh, in the root file system, and writes into /out."""

    name: str
    command: str                                 # %s: the options that choose cases
    parse: Callable[[str], Results]
    all_cases: str                               # the options for all
    some_cases: Callable[[Sequence[str]], str]   # the options for these
    setup: str = ""
    source: str = ""                             # Debian's source package, where it is needed


def _by_word(names: Sequence[str]) -> str:
    words = sorted({re.sub(r"\[.*", "", name.rsplit(".", 1)[-1]) for name in names})
    return f"-k '{' or '.join(words)}'"


def _cpython_some(names: Sequence[str]) -> str:
    return " ".join(f"-m '{name}'" for name in names) + f" {_CPYTHON}"


def _go_some(names: Sequence[str]) -> str:
    tests = sorted({name.split(":")[1].split("/")[0] for name in names})
    packages = sorted({name.split(":")[0] for name in names})
    return f"-run '^({'|'.join(tests)})$' {' '.join(packages)}"


SUITES = (
    # AF_VSOCK isn't TCP, and in some virtual machines a connection to oneself hangs there.
    Suite("CPython", "cd /tmp && python3 -m test -j2 --timeout 300 -i '*VSOCK*' "
          "--junit-xml /out/result.xml %s", _junit, _CPYTHON, _cpython_some),
    Suite("Go", "cd /usr/lib/go/src && GOCACHE=/var/cache/go GOFLAGS=-mod=mod go test -json -count=1 "
          "-short %s", _go, _GO, _go_some),
    Suite("PyMySQL", "cd /src/python-pymysql-*/ && python3 -m pytest -q -p no:cacheprovider "
          "--junitxml=/out/result.xml pymysql/tests %s", _junit, "", _by_word, _MARIADB, "python-pymysql"),
    Suite("SQLAlchemy", "cd /tmp && python3 -m pytest -q -p no:cacheprovider "
          "--dburi 'mysql+pymysql://scott:tiger@127.0.0.1/test?charset=utf8mb4' --maxfail=100000 "
          "--junitxml=/out/result.xml test_suite.py %s", _junit, "", _by_word,
          _MARIADB + _SQLALCHEMY),
    Suite("MariaDB", "cd /usr/share/mysql/mysql-test && ./mtr --user=root --vardir=/tmp/var --force "
          "--retry=0 --max-test-fail=0 --parallel=2 --testcase-timeout=5 --skip-test-list=/dev/null "
          "--xml-report=/out/result.xml %s", _junit, f"--suite=main,rpl --do-test='{_MTR}'",
          " ".join),
    Suite("Node", "cd /src/nodejs-*/ && python3 tools/test.py -p tap -j 2 --timeout 60 "
          "--shell /usr/bin/node %s", _tap, _NODE, " ".join, source="nodejs"),
    Suite("psycopg2", "cd /src/psycopg2-*/ && PSYCOPG2_TESTDB_HOST=127.0.0.1 "
          "PSYCOPG2_TESTDB_USER=postgres python3 -m pytest -q -p no:cacheprovider "
          "--junitxml=/out/result.xml tests %s", _junit, "", _by_word, _POSTGRES, "psycopg2"),
)
