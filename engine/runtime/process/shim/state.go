package shim

import (
	"errors"
	"os"
	"strconv"
	"time"

	"plimsoll/engine/runtime/order"
)

// Encode gives the state as bytes.
func (s State) Encode() []byte {
	var w lines
	w.process(s.Shim)
	w.text("up", strconv.FormatBool(s.Up))
	for _, c := range s.Containers {
		w.process(c.Identity)
		w.number("phase", int64(c.Phase))
		if c.Health != "" {
			w.text("health", c.Health)
		}
		w.number("restarts", int64(c.Restarts))
		if c.Exit != nil {
			w.number("code", int64(c.Exit.Code))
			w.flag("oom", c.Exit.OOM)
		}
	}
	return w.end()
}

func (l *lines) process(id Identity) {
	l.text("process", id.Name)
	l.number("pid", int64(id.PID))
	l.text("start", strconv.FormatUint(id.Start, 10))
}

// DecodeState is the reverse of State.Encode. The state of a shim that knew of no
// phases has all its containers running.
func DecodeState(data []byte) (State, error) {
	s := State{Up: true}
	var all []Process
	err := decode(data, func(key, value string) error {
		switch {
		case key == "process":
			all = append(all, Process{Identity: Identity{Name: value}, Phase: order.Running})
			return nil
		case len(all) == 0:
			return errors.New("no process before it")
		case key == "up":
			s.Up = value == "true"
			return nil
		}
		return all[len(all)-1].decode(key, value)
	})
	if err == nil && len(all) == 0 {
		err = errors.New("no processes")
	}
	if err != nil {
		return State{}, wrap("state", err)
	}
	s.Shim, s.Containers = all[0].Identity, all[1:]
	return s, nil
}

// ReadState reads the state of the task in a folder; fs.ErrNotExist is wrapped
// where its shim has not said any.
func ReadState(dir string) (State, error) {
	data, err := os.ReadFile(dir + "/" + StateFile)
	if err == nil {
		return DecodeState(data)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return State{}, err
	}
	if data, err = os.ReadFile(dir + "/" + LockFile); err != nil {
		return State{}, err
	}
	for i := 0; i+len(FirstState) < len(data); i++ {
		if data[i] == '\n' && string(data[i+1:i+1+len(FirstState)]) == FirstState {
			return DecodeState(data[i+1+len(FirstState):])
		}
	}
	return State{}, wrap("state of the task in "+dir, os.ErrNotExist)
}

func (p *Process) decode(key, value string) (err error) {
	switch key {
	case "pid":
		p.PID, err = strconv.Atoi(value)
	case "start":
		p.Start, err = strconv.ParseUint(value, 10, 64)
	case "phase":
		var n int
		n, err = strconv.Atoi(value)
		p.Phase = order.Phase(n)
	case "health":
		p.Health = value
	case "restarts":
		p.Restarts, err = strconv.Atoi(value)
	case "code":
		p.Exit = &ContainerExit{Container: p.Name}
		p.Exit.Code, err = strconv.Atoi(value)
	case "oom":
		if p.Exit == nil {
			return errors.New("no code before it")
		}
		p.Exit.OOM = true
	}
	return err
}

func (l *lines) restart(r *order.Restart) {
	if r == nil {
		return
	}
	l.number("restart", int64(r.AttemptPeriod))
	for _, code := range r.IgnoredExitCodes {
		l.number("restart-ignores", int64(code))
	}
}

func (l *lines) health(h *order.Health) {
	if h == nil {
		return
	}
	l.number("health", int64(h.Interval))
	l.number("health-timeout", int64(h.Timeout))
	l.number("health-retries", int64(h.Retries))
	l.number("health-start-period", int64(h.StartPeriod))
	for _, arg := range h.Command {
		l.text("health-arg", arg)
	}
}

// decodeOrder reads the lines about a container's order and health.
func (c *Container) decodeOrder(key, value string) error {
	switch key {
	case "depends-on":
		at := 0
		for at < len(value) && value[at] != ' ' {
			at++
		}
		if at == len(value) {
			return errors.New("no container in it")
		}
		c.DependsOn = append(c.DependsOn, order.Dependency{Condition: value[:at], Container: value[at+1:]})
		return nil
	case "health-arg":
		if c.Health == nil {
			return errors.New("no health before it")
		}
		c.Health.Command = append(c.Health.Command, value)
		return nil
	case "limit":
		c.Limits = append(c.Limits, Limit{Name: value})
		return nil
	case "limit-soft", "limit-hard":
		return c.decodeLimit(key, value)
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return err
	}
	switch {
	case key == "start-timeout":
		c.StartTimeout = time.Duration(n)
	case key == "restart":
		c.Restart = &order.Restart{AttemptPeriod: time.Duration(n)}
	case key == "restart-ignores" && c.Restart != nil:
		c.Restart.IgnoredExitCodes = append(c.Restart.IgnoredExitCodes, int(n))
	case key == "health":
		c.Health = &order.Health{Interval: time.Duration(n)}
	case key == "health-timeout" && c.Health != nil:
		c.Health.Timeout = time.Duration(n)
	case key == "health-retries" && c.Health != nil:
		c.Health.Retries = int(n)
	case key == "health-start-period" && c.Health != nil:
		c.Health.StartPeriod = time.Duration(n)
	case key == "limit-resource" && len(c.Limits) > 0:
		c.Limits[len(c.Limits)-1].Resource = int(n)
	default:
		return errors.New("unknown key, or out of place")
	}
	return nil
}

func (c *Container) decodeLimit(key, value string) error {
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil || len(c.Limits) == 0 {
		return errors.New("not a limit, or out of place")
	}
	last := &c.Limits[len(c.Limits)-1]
	if key == "limit-soft" {
		last.Soft = n
	} else {
		last.Hard = n
	}
	return nil
}
