# SPDX-License-Identifier: Apache-2.0
"""Where log lines go: a file that is opened again after SIGHUP, and JSON for collectors. The journal's protocol is
tested in unit/base/test_log."""

import json
import os
import signal
from typing import Callable, Dict, List

from support.server import Server, wait_for


def lines(path: str) -> List[Dict[str, object]]:
    with open(path, encoding='utf-8') as f:
        return [json.loads(line) for line in f]


def test_a_file_that_is_rotated(new_server: Callable[..., Server], tmp_path) -> None:
    """Supervisor and hub write to the new file after SIGHUP; no line is lost or cut."""
    path = str(tmp_path / 'tenon.log')
    s = new_server(args=('--log-file', path, '--log-format', 'json'))
    s.start()
    first = lines(path)
    assert {'hub', 'worker'} <= {e['area'] for e in first} and all(set(e) == {'time', 'level', 'area', 'pid', 'message'} for e in first)
    assert oct(os.stat(path).st_mode & 0o777) == '0o640'
    os.rename(path, path + '.1')
    s.process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: os.path.exists(path))
    assert s.stop() == 0
    last = lines(path)
    assert {'tenond', 'hub'} <= {e['area'] for e in last} and any('stopp' in str(e['message']) for e in last)
    assert not any('stopped' in str(e['message']) for e in lines(path + '.1'))
    assert 'INFO hub' not in s.log()


def test_the_names_of_an_existing_deployment(new_server: Callable[..., Server], tmp_path) -> None:
    path = str(tmp_path / 'dataflux-func.log')
    s = new_server(env={'DFF_LOG_FILE_PATH': path, 'DFF_LOG_FILE_FORMAT': 'json', 'DFF_LOG_LEVEL': 'INFO'})
    s.start()
    assert lines(path)


def test_another_stream_than_standard_error_changes_nothing(new_server: Callable[..., Server]) -> None:
    s = new_server(env={'JOURNAL_STREAM': '8:12345'})
    s.start()
    assert 'INFO hub[' in s.log()
