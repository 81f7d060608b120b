// SPDX-License-Identifier: Apache-2.0

// Speaks to the TDS peer with go-mssqldb and prints what it saw as one JSON object: client PORT PASSWORD CA|-
package main

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func code(err error) int32 {
	var e mssql.Error
	if errors.As(err, &e) {
		return e.Number
	}
	return -1
}

func main() {
	query := url.Values{"database": {"tenon"}, "encrypt": {"disable"}}
	if os.Args[3] != "-" {
		query = url.Values{"database": {"tenon"}, "encrypt": {"true"}, "certificate": {os.Args[3]}}
	}
	u := url.URL{Scheme: "sqlserver", User: url.UserPassword("tenon", os.Args[2]), Host: "localhost:" + os.Args[1], RawQuery: query.Encode()}
	db, err := sql.Open("sqlserver", u.String())
	must(err)
	db.SetMaxOpenConns(1)
	out := map[string]any{}

	var a int
	var b, d string
	var at time.Time
	var none sql.NullString
	var raw []byte
	must(db.QueryRow("SELECT 1, N'a数😀', CAST(1.5 AS decimal(5,2)), CAST('2026-01-02 03:04:05.123' AS datetime2(3)), NULL, 0x00ff").Scan(&a, &b, &d, &at, &none, &raw))
	out["values"] = []any{a, b, d, at.Format("2006-01-02 15:04:05.000"), nil, hex.EncodeToString(raw)}

	_, err = db.Exec("DROP TABLE IF EXISTS gotable; CREATE TABLE gotable (id int PRIMARY KEY, name nvarchar(50), price decimal(10,2))")
	must(err)
	done, err := db.Exec("INSERT INTO gotable VALUES (@p1, @p2, @p3), (@p4, @p5, @p6)", 1, "x", 1.1, 2, "it's", nil)
	must(err)
	out["changed"], _ = done.RowsAffected()
	prepared, err := db.Prepare("SELECT id, name, price FROM gotable WHERE name = @p1")
	must(err)
	for i := 0; i < 2; i++ {
		must(prepared.QueryRow("it's").Scan(&a, &b, &none))
	}
	must(prepared.Close())
	out["bound"] = []any{a, b, nil}

	codes := []int32{}
	for _, line := range []string{"SELECT * FROM nowhere", "SELECT FROM WHERE", "INSERT INTO gotable VALUES (1, NULL, NULL)"} {
		_, err = db.Exec(line)
		codes = append(codes, code(err))
	}
	out["errors"] = codes

	rows, err := db.Query("SELECT 1 AS a; SELECT 2 AS b")
	must(err)
	results := [][]int{}
	for more := true; more; more = rows.NextResultSet() {
		one := []int{}
		for rows.Next() {
			must(rows.Scan(&a))
			one = append(one, a)
		}
		results = append(results, one)
	}
	must(rows.Close())
	out["results"] = results

	long := strings.Repeat("数", 100000)
	must(db.QueryRow("SELECT CAST(@p1 AS nvarchar(max))", long).Scan(&b))
	out["large"], out["unicode"] = len([]rune(b)), b == long

	for _, keep := range []bool{false, true} {
		tx, err := db.Begin()
		must(err)
		if keep {
			_, err = tx.Exec("DELETE FROM gotable WHERE id = 2; UPDATE gotable SET name = N'a'")
		} else {
			_, err = tx.Exec("UPDATE gotable SET name = N'gone'")
		}
		must(err)
		if keep {
			must(tx.Commit())
		} else {
			must(tx.Rollback())
		}
	}
	must(db.QueryRow("SELECT name FROM gotable").Scan(&b))
	out["committed"] = []string{b}

	within, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	started := time.Now()
	_, err = db.ExecContext(within, "WAITFOR DELAY '00:00:20'")
	cancel()
	stopped := err != nil && time.Since(started) < 10*time.Second
	out["stopped"] = stopped && db.QueryRow("SELECT 1").Scan(&a) == nil
	must(json.NewEncoder(os.Stdout).Encode(out))
}
