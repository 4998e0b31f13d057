package postgresql_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"plimsoll/demand/postgresql"
)

func TestWhatCannotWorkIsRefused(t *testing.T) {
	for _, o := range []postgresql.Options{
		{Connection: "postgres://localhost/db"}, {Connection: "postgres://localhost:nowhere/db", Query: "SELECT 1"},
	} {
		if _, err := postgresql.New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

func TestTheErrorOfAWrongConnectionHasNoPasswordInIt(t *testing.T) {
	_, err := postgresql.New(postgresql.Options{Connection: "postgres://me:hunter2@localhost:nowhere/db", Query: "SELECT 1"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error is %v", err)
	}
}

func TestAServerThatIsNotThereIsAnError(t *testing.T) {
	s, err := postgresql.New(postgresql.Options{Connection: "postgres://127.0.0.1:1/db?sslmode=disable", Query: "SELECT 1"})
	if err != nil {
		t.Fatal(err)
	}
	if sample, err := s.Read(t.Context()); err == nil {
		t.Errorf("read %+v", sample)
	}
}

func TestAQueryOfARealServerIsRead(t *testing.T) {
	url := startServer(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	if _, err := conn.Exec(t.Context(), "CREATE TABLE jobs (id int, weight numeric); INSERT INTO jobs VALUES (1, 1.5), (2, NULL)"); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]any{
		"SELECT count(*) FROM jobs": 2.0, "SELECT sum(weight) FROM jobs": 1.5, "SELECT 3": 3.0,
		"SELECT 2.5::float8": 2.5, "SELECT '7'": 7.0,
		"SELECT weight FROM jobs WHERE id = 2":    "NULL",
		"SELECT id FROM jobs":                     "row",
		"SELECT id FROM jobs WHERE id = 9":        "no rows",
		"SELECT id, weight FROM jobs LIMIT 1":     "2 columns",
		"SELECT -1":                               "not a demand",
		"SELECT 'NaN'::float8":                    "not a demand",
		"SELECT 'many'":                           "not a demand",
		"SELECT nothing":                          "nothing",
		"DELETE FROM jobs RETURNING 1":            "read-only",
		"INSERT INTO jobs VALUES (3) RETURNING 1": "read-only",
	} {
		s, err := postgresql.New(postgresql.Options{Connection: url, Query: query})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // over a new connection, and over what the first left
			sample, err := s.Read(t.Context())
			if value, ok := want.(float64); ok && (err != nil || sample.Value != value) {
				t.Errorf("%s: sample %+v, error %v; want %v", query, sample, err, value)
			}
			if words, ok := want.(string); ok && (err == nil || !strings.Contains(err.Error(), words)) {
				t.Errorf("%s: sample %+v, error %v; want an error with %q", query, sample, err, words)
			}
		}
	}
}

func TestALostConnectionIsOpenedAgain(t *testing.T) {
	url := startServer(t)
	s, err := postgresql.New(postgresql.Options{Connection: url, Query: "SELECT 1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'plimsoll'"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context()); err == nil {
		t.Error("a reading over a lost connection gave no error")
	}
	if sample, err := s.Read(t.Context()); err != nil || sample.Value != 1 {
		t.Errorf("after that: sample %+v, error %v", sample, err)
	}
}

// program finds one of the server's programs, which Debian keeps off the path.
func program(t *testing.T, name string) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if path, err := exec.LookPath(name); err == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		t.Skipf("%s is not installed", name)
	}
	return found[len(found)-1]
}

// startServer runs a server of its own on a free port. It refuses to run as
// root, so that it becomes "nobody" then.
func startServer(t *testing.T) (url string) {
	t.Helper()
	initdb, postgres := program(t, "initdb"), program(t, "postgres")
	dir, err := os.MkdirTemp("", "plimsoll-postgresql-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Skipf("root, and there is no user nobody: %v", err)
		}
		uid, _ := strconv.Atoi(nobody.Uid)
		gid, _ := strconv.Atoi(nobody.Gid)
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	run := exec.Command(initdb, "-D", data, "-A", "trust", "-U", "tester", "--no-sync", "-E", "UTF8", "--locale=C")
	run.SysProcAttr, run.Dir = as, dir
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(postgres, "-D", data, "-h", "127.0.0.1", "-p", fmt.Sprint(port), "-k", dir, "-c", "fsync=off")
	server.SysProcAttr, server.Dir = as, dir
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Signal(syscall.SIGINT); _ = server.Wait() })
	url = fmt.Sprintf("postgres://tester@127.0.0.1:%d/postgres?sslmode=disable", port)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		conn, err := pgx.Connect(t.Context(), url)
		if err == nil {
			_ = conn.Close(t.Context())
			return url
		}
	}
	t.Fatal("the server does not answer")
	return ""
}
