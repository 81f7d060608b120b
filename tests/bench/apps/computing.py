# SPDX-License-Identifier: Apache-2.0
# The typical script with one line that computes: its top level runs in every call.
import json
import math
import re
import time

STARTED = time.time()
SETTINGS = {'unit': 'ms', 'scale': 1.5, 'names': ['a', 'b', 'c'], 'pattern': '[a-z]+'}


@DFF.API('Add two numbers', category='math', tags=['bench'])
def add(x, y):
    '''Adds x and y.'''
    return {'result': int(x) + int(y)}


@DFF.API('Subtract', category='math', tags=['bench'])
def sub(x, y):
    return {'result': int(x) - int(y)}


@DFF.API('Multiply', category='math', tags=['bench'])
def mul(x, y=1):
    return {'result': int(x) * int(y)}


@DFF.API('Square root', category='math')
def root(x):
    return {'result': math.sqrt(float(x))}


@DFF.API('Scale', timeout=30)
def scale(x):
    return {'result': float(x) * SETTINGS['scale'], 'unit': SETTINGS['unit']}


@DFF.API('Find words', expires=60)
def words(text=''):
    return re.findall(SETTINGS['pattern'], text)


@DFF.API('Parse JSON', queue=2)
def parse(text='null'):
    return json.loads(text)


@DFF.API('Names')
def names():
    return SETTINGS['names']


@DFF.API('Greeting', is_hidden=True)
def greet(name='you', *args, **kwargs):
    return 'Hello, ' + name


@DFF.API('Everything')
def everything():
    return {'settings': SETTINGS, 'debug': _DFF_DEBUG}
