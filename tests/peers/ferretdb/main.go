// SPDX-License-Identifier: Apache-2.0

// A server that speaks MongoDB's protocol on SQLite, for tests: FerretDB 1, embedded.
package main

import (
	"context"
	"flag"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	var config ferretdb.Config
	flag.StringVar(&config.Listener.TCP, "tcp", "", "address to listen on")
	flag.StringVar(&config.Listener.TLS, "tls", "", "address to listen on with TLS")
	flag.StringVar(&config.Listener.TLSCertFile, "cert", "", "certificate of the server")
	flag.StringVar(&config.Listener.TLSKeyFile, "key", "", "its key")
	flag.StringVar(&config.Listener.TLSCAFile, "ca", "", "clients must have a certificate of this authority")
	flag.StringVar(&config.SQLiteURL, "sqlite", "", "folder as file:/path/, or file:./?mode=memory")
	flag.StringVar(&config.PostgreSQLURL, "accounts", "", "who may do anything: user, password and database of this name; without it nobody signs in")
	flag.Parse()
	config.Handler = "sqlite"
	config.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	server, err := ferretdb.New(&config)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err = server.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
