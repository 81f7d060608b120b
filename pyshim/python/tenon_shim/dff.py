# SPDX-License-Identifier: Apache-2.0
"""Members of the DFF object (spec 3.5). C adds API, LOG, VAR, EVAL, EXEC and lower-case spellings."""
import _tenon
from . import resp, toolkit
from . import config, dataflux, entities, func, guance, sysdb
from .conn import Connectors
from .env import Env
from .redis_like import Cache
from .sql import sql
from .store import Store
from .sys_cache import SysCache
from .task import Context
from .threads import Thread


def sign(*args) -> str:
    """MD5 hex over the platform's secret and the texts; the hub computes it."""
    answer = _tenon.ask("sign", "\n".join(str(x) for x in args))
    if answer is None:
        raise RuntimeError("the platform cannot sign")
    return answer.decode()


# Shared by all scripts.
MEMBERS = {
    "CONN": Connectors(),
    "SRC": Connectors(),
    "CTX": Context(),
    "CONFIG": config.Config(),
    "FUNC": func.func,
    "BLUEPRINT": func.blueprint,
    "TASK": func.Task(),
    "SYNC_API": entities.SYNC_API,
    "AUTH_LINK": entities.SYNC_API,
    "ASYNC_API": entities.ASYNC_API,
    "BATCH": entities.ASYNC_API,
    "CRON_JOB": entities.CRON_JOB,
    "CRONTAB_CONFIG": entities.CRON_JOB,
    "SYS_DB": sysdb.SysDb(),
    "SYS_CACHE_DB": SysCache(),
    "EXTRA_GUANCE_DATA": guance.ExtraData(),
    "ENV": Env(),
    "SQL": sql,
    "THREAD": Thread(),
    "TOOLKIT": toolkit,
    "RESP": resp.resp,
    "RESP_FILE": resp.resp_file,
    "RESP_LARGE_DATA": resp.resp_large_data,
    "REDIRECT": resp.redirect,
    "RSRC": resp.resource_path,
    "SIGN": sign,
    "DATAKIT": dataflux.DataKit,
    "DATAWAY": dataflux.DataWay,
    "GUANCE_OPENAPI": guance.OpenAPI,
}

# name -> callable(script id): members with state of their own per script.
FACTORIES: dict = {"CACHE": Cache, "STORE": Store}
