package app

import (
	"errors"
	"net"
	"strings"
	"testing"
)

func TestAnAddressThatOthersCanReachNeedsAGuard(t *testing.T) {
	for address, open := range map[string]bool{
		"127.0.0.1:80": false, "127.64.1.1:80": false, "[::1]:80": false, "localhost:80": false,
		"0.0.0.0:80": true, ":80": true, "[::]:80": true, "192.168.1.1:80": true, "example.org:80": true,
	} {
		err := needsGuard("ui", address, "--token", false)
		if (err != nil) != open {
			t.Errorf("--ui %s without a token gives %v", address, err)
		}
		var misuse Misuse
		if open && (!errors.As(err, &misuse) || !strings.Contains(err.Error(), "--token")) {
			t.Errorf("the refusal of %s is %v; it should be a misuse that names --token", address, err)
		}
		if err := needsGuard("ui", address, "--token", true); err != nil {
			t.Errorf("--ui %s with a token gives %v", address, err)
		}
	}
}

func TestAFreePortIsTheLastRunsIfThatIsStillFree(t *testing.T) {
	first, err := openListeners(RunFile{}, map[string]string{onAgent: anyPort}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	last := RunFile{Ports: first.ports()}
	other, err := openListeners(last, map[string]string{onAgent: anyPort}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if other.ports()[onAgent] == last.Ports[onAgent] {
		t.Error("two listeners have the same port")
	}
	other.close()
	first.close()
	again, err := openListeners(last, map[string]string{onAgent: anyPort}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer again.close()
	if again.ports()[onAgent] != last.Ports[onAgent] {
		t.Errorf("the port is %d, want that of the last run, %d", again.ports()[onAgent], last.Ports[onAgent])
	}
}

func TestAPortInUseIsToldWithItsFlagAndNothingStaysOpen(t *testing.T) {
	taken, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, err = openListeners(RunFile{}, map[string]string{onAgent: anyPort, onUI: taken.Addr().String()}, "", "")
	if err == nil || !strings.Contains(err.Error(), "--ui "+taken.Addr().String()) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("the error is %v", err)
	}
}

func TestAListenerOnAllAddressesIsReachedByLocalhost(t *testing.T) {
	open, err := openListeners(RunFile{}, map[string]string{onRouter: "0.0.0.0:0"}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer open.close()
	if host, _, _ := net.SplitHostPort(open.address(onRouter)); host != "localhost" {
		t.Errorf("the address is %q", open.address(onRouter))
	}
}
