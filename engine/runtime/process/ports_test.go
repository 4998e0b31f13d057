package process

import (
	"testing"

	"plimsoll/engine/runtime"
)

func TestAPortJustGivenBackIsTheLastToBeGivenOutAgain(t *testing.T) {
	p := NewPorts(31000, 31015)
	take := func() int {
		t.Helper()
		b, err := p.take("127.64.7.8", runtime.Container{Ports: []runtime.Port{{ContainerPort: 80}}})
		if err != nil {
			t.Fatal(err)
		}
		return b[0].HostPort
	}
	first := take()
	p.release("127.64.7.8", first)
	seen := map[int]bool{}
	for range 8 { // some may be in use by others
		port := take()
		if port == first || seen[port] {
			t.Errorf("port %d again", port)
		}
		seen[port] = true
	}
}
