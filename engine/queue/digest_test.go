package queue_test

import (
	"testing"

	"plimsoll/engine/queue"
)

func TestTheMD5OfAttributesIsTheOneThatClientsCompute(t *testing.T) {
	// Computed by another program, by the steps of the developer guide.
	got := queue.AttributesMD5(map[string]queue.Attribute{
		"test_attribute_name_1": {DataType: "String", String: "test_attribute_value_1"},
	})
	if got != "ba056227cfd9533dba1f72ad9816d233" || queue.AttributesMD5(nil) != "" {
		t.Errorf("got %s", got)
	}
	if queue.BodyMD5("hello") != "5d41402abc4b2a76b9719d911017c592" {
		t.Error(queue.BodyMD5("hello"))
	}
}
