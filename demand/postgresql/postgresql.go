// Package postgresql reads a demand as the one number that a query of a
// PostgreSQL database gives. It must not know what the number means.
package postgresql

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"plimsoll/demand"
)

// Options make a Source. The keys in errors are those of the trigger.
type Options struct {
	// Connection is a URL (postgres://…) or a list of key=value. What it does not
	// name comes from the environment, as with psql.
	Connection string
	// Query gives one row with one number. It runs in a transaction that can
	// only read.
	Query string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Source runs one query over one connection, which it opens when it is needed.
type Source struct {
	o      Options
	config *pgx.ConnConfig
	name   string // the host and the database

	mu   sync.Mutex
	conn *pgx.Conn // nil: none is open
}

var _ demand.Source = (*Source)(nil)

// New checks the options; it makes no connection.
func New(o Options) (*Source, error) {
	if o.Query == "" {
		return nil, fmt.Errorf("postgresql: query is missing: it must give one number, such as SELECT count(*) FROM jobs")
	}
	config, err := pgx.ParseConfig(o.Connection)
	if err != nil {
		return nil, fmt.Errorf("postgresql: connection: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	config.RuntimeParams["application_name"] = "plimsoll"
	// A pooler in between may give each query to another session.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	return &Source{o: o, config: config, name: config.Host + "/" + config.Database}, nil
}

// Read runs the query once. No row, more than one, a NULL and what is no number
// are errors.
func (s *Source) Read(ctx context.Context) (demand.Sample, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.o.Now()
	value, err := s.read(ctx)
	if err != nil {
		s.drop()
		return demand.Sample{}, fmt.Errorf("postgresql %s: %w", s.name, err)
	}
	return demand.Sample{Value: value, At: at, Detail: demand.Shorten(s.o.Query)}, nil
}

func (s *Source) read(ctx context.Context) (float64, error) {
	if s.conn == nil {
		conn, err := pgx.ConnectConfig(ctx, s.config)
		if err != nil {
			return 0, err
		}
		s.conn = conn
	}
	var text *string
	err := pgx.BeginTxFunc(ctx, s.conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, s.o.Query, pgx.QueryResultFormats{pgx.TextFormatCode})
		if err != nil {
			return err
		}
		text, err = pgx.CollectExactlyOneRow(rows, oneText)
		return err
	})
	switch {
	case err != nil:
		return 0, err
	case text == nil:
		return 0, fmt.Errorf("the query gives NULL; if that means 0, use coalesce(…, 0)")
	}
	return demand.ParseValue(*text)
}

// oneText is the row's one column as a text, nil for NULL.
func oneText(row pgx.CollectableRow) (*string, error) {
	values := row.RawValues()
	if len(values) != 1 {
		return nil, fmt.Errorf("the query gives %d columns, not one", len(values))
	}
	if values[0] == nil {
		return nil, nil
	}
	text := string(values[0])
	return &text, nil
}

// drop closes the connection, so that the next reading opens another.
func (s *Source) drop() {
	if s.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // whatever it says, it is not used again
	s.conn = nil
}
