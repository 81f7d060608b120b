# SPDX-License-Identifier: Apache-2.0
"""tenon without a platform: serve -t, help, wrong use."""

import os
import re
import subprocess
from typing import Any, Dict, Optional

from support.server import BUILD, ROOT

TENON = os.path.join(BUILD, 'bin', 'tenon')


def tenon(*args: str, env: Optional[Dict[str, str]] = None) -> 'subprocess.CompletedProcess[str]':
    clean = {k: v for k, v in os.environ.items() if not k.startswith(('TENON_', 'DFF_'))}
    return subprocess.run([TENON] + list(args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60, check=False, env={**clean, **(env or {})})


def test_valid_configuration(tmp_path: Any) -> None:
    """-t reads everything, starts nothing and makes nothing."""
    data = tmp_path / 'data'
    path = tmp_path / 'tenon.yaml'
    path.write_text('data: %s\nworkers_min: 3\nlisten: 127.0.0.1:1\n' % data)
    done = tenon('serve', '-t', '--config', str(path))
    assert done.returncode == 0 and 'configuration is valid (0 warnings)' in done.stdout, done
    assert not data.exists()


def test_every_problem_at_once(tmp_path: Any) -> None:
    """File and line of each, from all sources, with what was meant; the exit code is 1."""
    path = tmp_path / 'tenon.yaml'
    path.write_text('workers_min: 2\nworker_memroy: 1G\n\nbody_max: lots\n')
    more = tmp_path / 'conf.d'
    more.mkdir()
    (more / '10-more.yaml').write_text('queue_max: -1\n')
    done = tenon('serve', '-t', '--config', str(path), '--drain', 'soon', env={'TENON_WORKERS_MAX': 'many'})
    assert done.returncode == 1 and done.stdout == ''
    for where, what in (('tenon.yaml:2', 'worker_memory'), ('tenon.yaml:4', 'body_max'), ('10-more.yaml:1', 'queue_max'),
                        ('TENON_WORKERS_MAX', 'workers_max'), ('--drain', 'soon')):
        line = next((x for x in done.stderr.splitlines() if where in x), '')
        assert what in line, (where, done.stderr)
    assert done.stderr.splitlines()[-1] == '5 errors, 0 warnings'


def test_a_zone_that_is_none_starts_nothing(tmp_path: Any) -> None:
    """It would run every schedule at another time than was meant."""
    path = tmp_path / 'tenon.yaml'
    path.write_text('workers_min: 3\ntimezone: Europe/Berln\n')
    done = tenon('serve', '-t', '--config', str(path))
    assert done.returncode == 1 and re.search(r'tenon.yaml:2: timezone: "Europe/Berln" is no time zone', done.stderr), done
    for zone in ('../../../etc/passwd', 'Mars/Olympus'):
        done = tenon('serve', '--data', str(tmp_path / 'data'), env={'DFF_TIMEZONE': zone})
        assert done.returncode == 1 and 'DFF_TIMEZONE' in done.stderr and zone in done.stderr, done
    assert not (tmp_path / 'data').exists()
    assert tenon('serve', '-t', '--timezone', 'Europe/Berlin').returncode == 0


def test_missing_file(tmp_path: Any) -> None:
    done = tenon('serve', '-t', '--config', str(tmp_path / 'none.yaml'))
    assert done.returncode == 1 and 'none.yaml' in done.stderr


def test_a_wrong_configuration_starts_nothing(tmp_path: Any) -> None:
    done = tenon('serve', '--data', str(tmp_path / 'data'), '--workers-min', '0')
    assert done.returncode == 1 and 'workers_min' in done.stderr and not (tmp_path / 'data').exists()


def test_help_and_wrong_use() -> None:
    assert all(word in tenon('help').stdout for word in ('serve', 'doctor', 'plugins', 'version'))
    assert 'worker_sandbox' in tenon('serve', '--help').stdout.replace('-', '_')
    assert '--json' in tenon('doctor', '--help').stdout
    for wrong in (('serve', '--nope'), ('serve', '-t', '--nope', 'x'), ('serve', '--data'), ('serve', 'x'), ('plugins', '--nope'), ('plugins', 'x'), ('doctor', '--nope'),
                  ('conn', 'list', '--nope'), ('passwd', '--nope'), ('conn',), ('conn', 'test')):
        assert tenon(*wrong).returncode == 2, wrong
    done = tenon('dance')
    assert done.returncode == 2 and '"dance" is no command' in done.stderr
    assert tenon('--version').stdout.startswith('tenon ')


def test_every_command_explains_itself() -> None:
    """help X is X --help, both on stdout with code 0, and begin the same way; a slip is told what was meant."""
    for command in ('serve', 'doctor', 'plugins', 'conn', 'passwd'):
        told = tenon(command, '--help')
        assert told.returncode == 0 and told.stderr == '' and told.stdout.startswith('usage: tenon %s' % command), told
        assert tenon('help', command).stdout == told.stdout
        assert re.search(r'^  %s +\S' % command, tenon('help').stdout, re.M)
    assert tenon('help', 'dance').returncode == 2
    assert 'did you mean "doctor"?' in tenon('docter').stderr
    done = tenon('version', '--frob')
    assert done.returncode == 2 and '"--frob"' in done.stderr


def test_the_manual_page_knows_every_command() -> None:
    with open(os.path.join(ROOT, 'packaging', 'man', 'tenon.1'), encoding='utf-8') as f:
        page = f.read()
    commands = re.findall(r'^  (\w+) +\S', tenon('help').stdout, re.M)
    assert len(commands) >= 7 and [c for c in commands if not re.search(r'^\.BR? %s\b|", " %s$' % (c, c), page, re.M)] == []
