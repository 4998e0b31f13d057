package app

import (
	"encoding/json"
	"sync/atomic"

	"plimsoll/engine/events"
)

// bus takes the events that clients put on a world's bus: they go to the queues of the
// rules that want them, and the program itself may hear of them.
type bus struct {
	*events.Outbox
	hear atomic.Pointer[func(event string)]
}

// Post implements awsapi.Postbox.
func (b *bus) Post(list []events.Event) ([]string, error) {
	ids, err := b.Outbox.Post(list)
	hear := b.hear.Load()
	if err != nil || hear == nil {
		return ids, err
	}
	for _, e := range list {
		event, err := json.Marshal(map[string]any{"source": e.Source, "detail-type": e.DetailType, "detail": e.Detail})
		if err == nil {
			(*hear)(string(event))
		}
	}
	return ids, nil
}
