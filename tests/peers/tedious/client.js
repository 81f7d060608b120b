// SPDX-License-Identifier: Apache-2.0

// Speaks to the TDS peer with tedious and prints what it saw as one JSON object: client.js PORT PASSWORD CA|-
'use strict';

const fs = require('fs');
const {Connection, Request, TYPES} = require('tedious');

const [port, password, ca] = process.argv.slice(2);
const secure = ca === '-' ? {encrypt: false} : {encrypt: true, cryptoCredentialsDetails: {ca: fs.readFileSync(ca)}};
const connection = new Connection({
    server: 'localhost',
    authentication: {type: 'default', options: {userName: 'tenon', password}},
    options: {port: Number(port), database: 'tenon', trustServerCertificate: false, connectTimeout: 10000, requestTimeout: 20000, ...secure},
});

function opened() {
    return new Promise((resolve, reject) => connection.connect((e) => (e ? reject(e) : resolve())));
}

/** Runs one statement: {count, sets}, a list of rows for every result. */
function run(text, parameters = [], watch = () => {}) {
    return new Promise((resolve, reject) => {
        const sets = [];
        const request = new Request(text, (e, count) => (e ? reject(e) : resolve({count, sets})));
        request.on('columnMetadata', () => sets.push([]));
        request.on('row', (columns) => sets[sets.length - 1].push(columns.map((c) => c.value)));
        parameters.forEach(([type, value, options], i) => request.addParameter(`p${i + 1}`, type, value, options));
        if (parameters.length > 0) connection.execSql(request);
        else connection.execSqlBatch(request);
        watch();
    });
}

function transaction(call) {
    return new Promise((resolve, reject) => connection[call]((e) => (e ? reject(e) : resolve())));
}

async function number(text) {
    try {
        await run(text);
    } catch (e) {
        return e.number;
    }
    return null;
}

async function main() {
    const out = {};
    await opened();
    const row = (await run("SELECT 1, N'a\u6570\u{1f600}', CAST(1.5 AS decimal(5,2)), CAST('2026-01-02 03:04:05.123' AS datetime2(3)), NULL, 0x00ff")).sets[0][0];
    out.values = [row[0], row[1], row[2].toFixed(2), row[3].toISOString().slice(0, -1).replace('T', ' '), row[4], row[5].toString('hex')];
    await run('DROP TABLE IF EXISTS node');
    await run('CREATE TABLE node (id int PRIMARY KEY, name nvarchar(50), price decimal(10,2))');
    const price = [TYPES.Decimal, 1.1, {precision: 10, scale: 2}];
    out.changed = (await run('INSERT INTO node VALUES (@p1, @p2, @p3), (@p4, @p5, @p6)', [
        [TYPES.Int, 1], [TYPES.NVarChar, 'x'], price, [TYPES.Int, 2], [TYPES.NVarChar, "it's"], [TYPES.Decimal, null],
    ])).count;
    out.bound = (await run('SELECT id, name, price FROM node WHERE name = @p1', [[TYPES.NVarChar, "it's"]])).sets[0][0];
    out.errors = [];
    for (const text of ['SELECT * FROM nowhere', 'SELECT FROM WHERE', 'INSERT INTO node VALUES (1, NULL, NULL)']) out.errors.push(await number(text));
    out.results = (await run('SELECT 1 AS a; SELECT 2 AS b')).sets.map((set) => set.map((r) => r[0]));
    const long = '\u6570'.repeat(100000);
    const back = (await run('SELECT CAST(@p1 AS nvarchar(max))', [[TYPES.NVarChar, long]])).sets[0][0][0];
    out.large = back.length;
    out.unicode = back === long;
    await transaction('beginTransaction');
    await run("UPDATE node SET name = N'gone'");
    await transaction('rollbackTransaction');
    await transaction('beginTransaction');
    await run("DELETE FROM node WHERE id = 2; UPDATE node SET name = N'a'");
    await transaction('commitTransaction');
    out.committed = (await run('SELECT name FROM node')).sets[0].map((r) => r[0]);
    const started = Date.now();
    let stopped = false;
    try {
        await run("WAITFOR DELAY '00:00:20'", [], () => setTimeout(() => connection.cancel(), 300));  // an attention
    } catch (e) {
        stopped = e.code === 'ECANCEL' && Date.now() - started < 10000;
    }
    out.stopped = stopped && (await run('SELECT 1')).sets[0][0][0] === 1;
    connection.close();
    console.log(JSON.stringify(out));
}

main().catch((e) => {
    console.error(String(e));
    process.exit(1);
});
