# SPDX-License-Identifier: Apache-2.0
"""The function as a user of FastAPI would serve it."""
from fastapi import FastAPI

app = FastAPI()


@app.get('/add')
async def add(x: int, y: int):
    """x + y of the query as {"result": …}."""
    return {'result': x + y}
